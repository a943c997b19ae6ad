"""The link itself: how long a question and its answer really take through the proxy."""

from __future__ import annotations

import socket
import statistics
import sys
import time
from pathlib import Path

from benchmarks.delayproxy import ask
from benchmarks.links import start_proxy
from benchmarks.measure import LinkTime, Plan, Results
from benchmarks.world import ROOT, World

PORT, FRONT_PORT = 7100, 7101
EXCHANGES = 10
MESSAGE = bytes(300)
"""About as long as a question for a signature with its TLS record."""


def measure(world: World, plan: Plan) -> Results:
    """The median of some exchanges at each round-trip time."""
    listening = ROOT / "echo-listens"
    world.start_python("benchmarks.link", str(PORT), str(listening), ready=listening.exists)
    control = start_proxy(world, f"tcp:127.0.0.1:{FRONT_PORT}", f"tcp:127.0.0.1:{PORT}")
    with socket.create_connection(("127.0.0.1", FRONT_PORT)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _exchange(connection)
        times = []
        for rtt_ms in plan.rtts_ms:
            ask(control, f"rtt {rtt_ms}")
            milliseconds = [1000 * _exchange(connection) for _ in range(EXCHANGES)]
            times.append(LinkTime(rtt_ms, statistics.median(milliseconds)))
    return Results(link_times=tuple(times))


def _exchange(connection: socket.socket) -> float:
    start = time.monotonic()
    connection.sendall(MESSAGE)
    missing = len(MESSAGE)
    while missing:
        missing -= len(connection.recv(missing))
    return time.monotonic() - start


def main() -> None:
    """Echo what one client sends, at a port; make a file when listening."""
    port, listening = sys.argv[1:]
    with socket.create_server(("127.0.0.1", int(port))) as server:
        Path(listening).touch()
        connection, _ = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(65536):
            connection.sendall(data)


if __name__ == "__main__":
    main()
