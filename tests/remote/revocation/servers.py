"""A real HTTP server on the loopback address, which answers as it is told, well or badly."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Reply = Callable[["Handler", bytes], None]
"""Answers a request, whose body is given, on the handler's ``wfile``."""


class Handler(BaseHTTPRequestHandler):
    """Looks the path up in the server's replies, and counts."""

    server: Server

    def do_GET(self) -> None:
        self._reply(b"")

    def do_POST(self) -> None:
        self._reply(self.rfile.read(int(self.headers["Content-Length"])))

    def _reply(self, body: bytes) -> None:
        self.server.asked.append(self.path)
        with contextlib.suppress(OSError):
            self.server.replies[self.path](self, body)

    def log_message(self, *_: object) -> None:
        """Not on the test's output."""


class Server(ThreadingHTTPServer):
    """``replies`` may be changed while it runs; ``asked`` holds the paths that were."""

    def __init__(self, replies: Mapping[str, Reply], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.replies = dict(replies)
        self.asked: list[str] = []
        self.stopping = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


@contextlib.contextmanager
def serving(**replies: Reply) -> Iterator[Server]:
    """A server with these replies: ``name`` answers ``/name``."""
    with Server({f"/{name}": reply for name, reply in replies.items()}) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            server.shutdown()
            thread.join()


def content(body: bytes, status: int = 200) -> Reply:
    """A well-behaved answer."""

    def reply(handler: Handler, _: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def redirection(target: str, status: int = 302) -> Reply:
    def reply(handler: Handler, _: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return reply


def raw(data: bytes) -> Reply:
    """These bytes and nothing else, then the end."""

    def reply(handler: Handler, _: bytes) -> None:
        handler.wfile.write(data)

    return reply


def drip(before: bytes, piece: bytes) -> Reply:
    """``before`` at once, then a piece every 20 ms for ever."""

    def reply(handler: Handler, _: bytes) -> None:
        handler.wfile.write(before)
        while not handler.server.stopping.wait(0.02):
            handler.wfile.write(piece)

    return reply
