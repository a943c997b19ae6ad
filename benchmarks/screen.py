"""What the tunnel costs a shared screen: ``python -m benchmarks.screen`` (with Xvfb and X0tigervnc).

The same VNC server, through the two programs and the TLS stream between them, and without them: how many bytes of
pixels come in a second, and how much later the answer to a few bytes comes. All on this machine, so that nothing but
our own work is between the two figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sra.transport import tls_identity, tls_trust
from sra.transport.channel import Channel, open_channel
from sra.transport.gate import Gate, GateLimits
from sra.transport.listener import Listener
from sra.transport.stream import Stream, join, open_stream
from sra.wire.connection import Connection
from sra.wire.messages import ALPN, SCREEN_ALPN, TICKET_BYTES
from sra.wire.states import Role

SCREEN = (1920, 1080)
FRAMES, ROUNDS = 20, 5
"""Whole screens in each of so many rounds."""
ANSWERS = 3000
QUESTION = bytes(64)
"""A few keys or a movement of the mouse."""
SHARE, ADDED_MS = 0.8, 1.0
"""At least so much of the screens a second; and 99 of 100 answers at most so much later."""
WAIT = 10.0


RAW, ZRLE = 0, 16
"""Encodings (RFC 6143, 7.7): all pixels as they are, which is as much as can come; and packed, as over a network."""
GIGABIT_MB = 125
"""Megabytes a second that a network of 1 Gbit/s carries at most."""


@dataclass(frozen=True)
class Pair:
    """A figure without the tunnel and through it."""

    direct: float
    tunnel: float

    @property
    def share(self) -> float:
        """How much is left."""
        return self.tunnel / self.direct


@dataclass(frozen=True)
class Outcome:
    """Packed screens a second, raw megabytes a second, and milliseconds until an answer."""

    screens: Pair
    raw: Pair
    p50: Pair
    p99: Pair

    @property
    def added_p99(self) -> float:
        """How much later the slowest but one in a hundred comes."""
        return self.p99.tunnel - self.p99.direct

    def __str__(self) -> str:
        """A table in Markdown."""
        size = f"{SCREEN[0]}x{SCREEN[1]}"
        rows = (
            ("a shared screen", "without the tunnel", "through it", "target", "verdict"),
            ("---", "---:", "---:", "---", "---"),
            (
                f"screens of {size} a second, packed (ZRLE)", f"{self.screens.direct:.1f}",
                f"{self.screens.tunnel:.1f} ({self.screens.share:.0%})", f"≥ {SHARE:.0%}",
                _verdict(met=self.screens.share >= SHARE),
            ),
            (
                f"pixels of {size}, raw, MB/s", f"{self.raw.direct:.0f}",
                f"{self.raw.tunnel:.0f} ({self.raw.share:.0%})", f"≥ {GIGABIT_MB}, a gigabit network's",
                _verdict(met=self.raw.tunnel >= GIGABIT_MB),
            ),
            (
                f"the answer to {len(QUESTION)} bytes, p50 and p99 ms", f"{self.p50.direct:.3f}, {self.p99.direct:.3f}",
                f"{self.p50.tunnel:.3f}, {self.p99.tunnel:.3f}", f"p99 < {ADDED_MS:g} more",
                _verdict(met=self.added_p99 < ADDED_MS),
            ),
        )  # fmt: skip
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _verdict(*, met: bool) -> str:
    return "met" if met else "not met"


def measure() -> str:
    """The table, or why there is none."""
    missing = [program for program in ("Xvfb", "X0tigervnc") if shutil.which(program) is None]
    if missing:
        return f"A shared screen was not measured: {' and '.join(missing)} not installed."
    with tempfile.TemporaryDirectory(prefix="sra-screen-bench-") as folder, ExitStack() as stack:
        return str(_measure(Path(folder), stack))


def _measure(folder: Path, stack: ExitStack) -> Outcome:
    vnc, echo = folder / "vnc", folder / "echo"
    stack.enter_context(_vnc_server(vnc))
    stack.enter_context(_echo_server(echo))
    vnc_tunnel = stack.enter_context(_tunnel(folder / "to-vnc", vnc))
    echo_tunnel = stack.enter_context(_tunnel(folder / "to-echo", echo))
    packed, raw = (_rates(vnc, vnc_tunnel, encoding) for encoding in (ZRLE, RAW))
    direct, tunnel = _delays(echo), _delays(echo_tunnel)
    megabytes = SCREEN[0] * SCREEN[1] * 4 / 1e6
    return Outcome(
        packed,
        Pair(raw.direct * megabytes, raw.tunnel * megabytes),
        Pair(statistics.median(direct), statistics.median(tunnel)),
        Pair(_p99(direct), _p99(tunnel)),
    )


def _rates(direct: Path, tunnel: Path, encoding: int) -> Pair:
    """Screens a second; the two ways take turns, so that what else the machine does meets both."""
    rounds = [(_rate(direct, encoding), _rate(tunnel, encoding)) for _ in range(ROUNDS)]
    return Pair(*(statistics.median(column) for column in zip(*rounds, strict=True)))


def _p99(values: list[float]) -> float:
    return float(statistics.quantiles(values, n=100)[98])


# Who asks.


def _connect(place: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(WAIT)
    connection.connect(str(place))
    return connection


def _read(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), 1 << 20))
        if not part:
            raise ConnectionError("the screen ended")
        data += part
    return bytes(data)


def _rate(place: Path, encoding: int) -> float:
    """Screens a second (RFC 6143, security type None)."""
    with _connect(place) as connection:
        _read(connection, 12)
        connection.sendall(b"RFB 003.008\n")
        _read(connection, _read(connection, 1)[0])
        connection.sendall(b"\1")
        _read(connection, 4)
        connection.sendall(b"\1")
        _read(connection, int.from_bytes(_read(connection, 24)[20:], "big"))
        connection.sendall(struct.pack(">BxHi", 2, 1, encoding))
        _screen(connection)
        begun = time.perf_counter()
        for _ in range(FRAMES):
            _screen(connection)
        return FRAMES / (time.perf_counter() - begun)


def _screen(connection: socket.socket) -> None:
    connection.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, *SCREEN))
    left = SCREEN[0] * SCREEN[1]
    while left > 0:
        for _ in range(struct.unpack(">xxH", _read(connection, 4))[0]):
            _, _, width, height, encoding = struct.unpack(">HHHHi", _read(connection, 12))
            packed = encoding == ZRLE
            _read(connection, int.from_bytes(_read(connection, 4), "big") if packed else width * height * 4)
            left -= width * height


def _delays(place: Path) -> list[float]:
    """Milliseconds until each answer."""
    delays = []
    with _connect(place) as connection:
        for _ in range(ANSWERS):
            begun = time.perf_counter()
            connection.sendall(QUESTION)
            _read(connection, len(QUESTION))
            delays.append((time.perf_counter() - begun) * 1000)
    return delays[ANSWERS // 10 :]


# Who answers.


@contextmanager
def _program(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        try:
            yield program
        finally:
            program.kill()


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError("a program of the benchmark does not start")
        time.sleep(0.01)


@contextmanager
def _vnc_server(place: Path) -> Iterator[None]:
    """A VNC server with a screen of its own, and no password, which takes no part in this."""
    descriptor, number = os.pipe()
    screen = f"{SCREEN[0]}x{SCREEN[1]}x24"
    command = ["Xvfb", "-displayfd", str(number), "-nolisten", "tcp", "-noreset", "-retro", "-screen", "0", screen]
    with subprocess.Popen(command, pass_fds=[number], stderr=subprocess.DEVNULL) as server:
        os.close(number)
        try:
            with os.fdopen(descriptor) as told:
                display = f":{told.readline().strip()}"
            options = ["-SecurityTypes=None", "-rfbport=-1", "-AlwaysShared=1", f"-rfbunixpath={place}"]
            with _program("X0tigervnc", f"-display={display}", *options):
                _wait(place.exists)
                yield
        finally:
            server.kill()


@contextmanager
def _echo_server(place: Path) -> Iterator[None]:
    with _program(sys.executable, "-m", "benchmarks.screen", "echo", str(place)):
        _wait(place.exists)
        yield


@contextmanager
def _tunnel(folder: Path, screen: Path) -> Iterator[Path]:
    """Where the screen can be had through a process as srad is and one as ``sra connect`` is."""
    door = folder / "door"
    tls_identity.generate(folder / "identity", ["localhost"], datetime.now(UTC))
    with _program(sys.executable, "-m", "benchmarks.screen", "remote", str(folder), str(screen)) as remote:
        assert remote.stdout is not None
        port = remote.stdout.readline().decode().strip()
        with _program(sys.executable, "-m", "benchmarks.screen", "admin", str(door), port):
            _wait(door.exists)
            yield door


def _echo(place: str) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(place)
    listening.listen()
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        while data := connection.recv(4096):
            connection.sendall(data)


async def _remote(folder: str, screen: str) -> None:
    """As srad: streams come in, and are joined to the screen server."""

    async def show(stream: Stream, leave: Callable[[], None]) -> None:
        await stream.read(TICKET_BYTES, WAIT)
        leave()
        _, server = await asyncio.get_running_loop().create_unix_connection(Stream, screen)
        join(stream, server)
        await stream.wait_ended()

    async def keep(channel: Channel, leave: Callable[[], None]) -> None:
        leave()
        await channel.wait_lost()

    context = tls_identity.server_context(tls_identity.load(Path(folder) / "identity"), [ALPN, SCREEN_ALPN])
    gate = Gate(GateLimits(per_address=10_000))
    listener = Listener(context, lambda: Connection(Role.REMOTE), gate, keep, show)
    print(await listener.open(("127.0.0.1",), 0), flush=True)
    await asyncio.Event().wait()


async def _admin(door: str, port: str) -> None:
    """As ``sra connect``: viewers come in by a door, and each has its stream."""
    context = tls_trust.client_context(None, [ALPN])
    channel = await open_channel(
        "127.0.0.1", int(port), context, Connection(Role.ADMIN), server_name="localhost", deadline=WAIT
    )
    listening = socket.socket(socket.AF_UNIX)
    listening.setblocking(False)
    listening.bind(door)
    listening.listen()
    loop = asyncio.get_running_loop()
    while True:
        viewer, _ = await loop.sock_accept(listening)
        screen = tls_trust.client_context(None, [SCREEN_ALPN])
        stream = await open_stream(channel, int(port), screen, server_name="localhost", deadline=WAIT)
        stream.write(bytes(TICKET_BYTES))
        _, local = await loop.create_unix_connection(Stream, sock=viewer)
        join(local, stream)


def main(part: str = "", *words: str) -> None:
    """Measure, or be a part of what is measured."""
    if part == "echo":
        _echo(*words)
    elif part == "remote":
        asyncio.run(_remote(*words))
    elif part == "admin":
        asyncio.run(_admin(*words))
    else:
        print(measure())


if __name__ == "__main__":
    main(*sys.argv[1:])
