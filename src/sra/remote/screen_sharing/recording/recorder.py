"""A shared screen's recording: ffmpeg on the display, as the screen's account, into files that root opens for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sys
from dataclasses import dataclass, field

from sra.remote.screen_sharing import screen_account
from sra.remote.screen_sharing.recording.folder import ENDING, RecordingFolder, new_name
from sra.remote.screen_sharing.screen_account import ScreenAccount, ServerError
from sra.system.processes import stop

PROGRAM = "ffmpeg"
SIZES = (sys.executable, "-I", "-m", "sra.remote.screen_sharing.x11.display_x11", "sizes")
PICTURES = 5
"""A second: enough to follow what is done, and little work for the machine."""
MEBIBYTE = 1024 * 1024
ALWAYS_FREE = 256 * MEBIBYTE
"""Bytes of the disk that no recording takes: the machine needs some."""
MAX_PARTS = 100
"""Files of one share: a screen that changes its size more often than that is not to fill the folder with them."""
START_DEADLINE = 10.0
"""Seconds until the first picture."""
STANDSTILL = 10.0
"""Seconds without a byte of it, five times as long as it ever is: with ffmpeg stopped, no admin is to work on."""
LOOK_AGAIN = 1.0
SWITCHING = 1.0
"""Seconds after its end for the display to say that its size has changed, which may be why."""
REMARK = "It will be recorded."
"""For the person who is asked to allow it."""
NO_WAYLAND = "The owner of this remote wants its screen recorded, which can't be done in a Wayland session."
_A_MOMENT = 0.01
_SIZE = re.compile(rb"(\d{1,5}) (\d{1,5})\n")


def arguments(display: str, size: tuple[int, int]) -> tuple[str, ...]:
    """The command line: the whole screen in H.264, as a Matroska stream to standard output.

    A stream can be played as far as it goes, whenever it ends. H.264 of this kind has even sizes only. ``-probesize``:
    ffmpeg would first look at 5 MB of pictures, which are seconds of a small screen.
    """
    return (
        PROGRAM, "-nostdin", "-loglevel", "quiet", "-probesize", "32",
        "-f", "x11grab", "-framerate", f"{PICTURES}", "-video_size", f"{size[0]}x{size[1]}", "-i", display,
        "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p",
        "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-threads", "2", "-g", f"{10 * PICTURES}",
        "-f", "matroska", "pipe:1",
    )  # fmt: skip


@dataclass(frozen=True)
class ShareRecorder:
    """Has each share recorded, as ``account``, in a folder that may hold ``room`` bytes."""

    folder: RecordingFolder
    account: ScreenAccount
    room: int

    def obstacle(self) -> str:
        """Why no share could be recorded; empty if one can."""
        if shutil.which(PROGRAM, path=screen_account.PATH) is None:
            return f"The owner of this remote wants its screen recorded, and {PROGRAM} is not installed there."
        return self.shortage()

    def shortage(self) -> str:
        """Why there is no room; empty while there is."""
        if self.folder.used() >= self.room:
            full = f"The recordings of this remote's screen take the {self.room // MEBIBYTE} MiB that they may"
            return f"{full}: remove some of those in {self.folder.path}."
        if self.folder.free() < ALWAYS_FREE:
            return "The remote's disk is too full to record the screen."
        return ""


@dataclass(eq=False)
class _Part:
    """A file, and the program that writes it."""

    name: str
    process: asyncio.subprocess.Process
    ending: asyncio.Future[int] = field(init=False)

    def __post_init__(self) -> None:
        self.ending = asyncio.ensure_future(self.process.wait())


class Recording:
    """The recording of one share; a further file each time that the screen's size changes."""

    def __init__(self, recorder: ShareRecorder, by: str) -> None:
        self.name = new_name(by)
        self._recorder = recorder
        self._begun = 0
        self._parts: list[_Part] = []
        self._sizes: asyncio.subprocess.Process | None = None
        self._following: asyncio.Task[None] | None = None
        self._switching = asyncio.Lock()
        self._growth = ("", 0, 0.0)

    async def open(self, values: dict[str, str]) -> None:
        """Begin; returns when it runs. ``values`` is the environment. Raises ``ServerError``."""
        try:
            async with asyncio.timeout(START_DEADLINE):
                pipe = asyncio.subprocess.PIPE
                self._sizes = await screen_account.start(SIZES, self._recorder.account, values, stdout=pipe)
                await self._begin(await self._next_size(self._sizes), values)
        except BaseException as error:
            await self.close()
            if isinstance(error, TimeoutError):
                raise ServerError(f"{PROGRAM} does not begin to record the screen.") from None
            raise
        self._following = asyncio.create_task(self._follow(self._sizes, values))

    async def _next_size(self, program: asyncio.subprocess.Process) -> tuple[int, int]:
        """The display's size, when it has become another."""
        line = await program.stdout.readline() if program.stdout else b""
        match = _SIZE.fullmatch(line)
        if match is None:
            raise ServerError(screen_account.WENT_AWAY)
        return int(match[1]), int(match[2])

    async def _begin(self, size: tuple[int, int], values: dict[str, str]) -> None:
        """Another file; it is written to when this returns."""
        if self._begun == MAX_PARTS:
            raise ServerError(f"The screen's size has changed too often to be recorded ({MAX_PARTS} times).")
        self._begun += 1
        name = f"{self.name}{f'-{self._begun}' if self._begun > 1 else ''}{ENDING}"
        descriptor = self._recorder.folder.begin(name)
        try:
            argv = arguments(values["DISPLAY"], size)
            part = _Part(name, await screen_account.start(argv, self._recorder.account, values, stdout=descriptor))
        except BaseException:
            self._recorder.folder.end(name)
            raise
        finally:
            os.close(descriptor)
        self._parts.append(part)
        while not self._recorder.folder.size(name):
            if part.ending.done():
                raise ServerError(f"{PROGRAM} can't record the display.")
            await asyncio.sleep(_A_MOMENT)

    async def _follow(self, program: asyncio.subprocess.Process, values: dict[str, str]) -> None:
        """Another file for each size; ``ServerError`` when that can't be."""
        while True:
            size = await self._next_size(program)
            async with self._switching:
                former = list(self._parts)
                async with asyncio.timeout(START_DEADLINE):
                    await self._begin(size, values)
            await asyncio.gather(*map(self._finish, former))

    async def wait_ended(self) -> str:
        """Return when the screen is not recorded any more, or may not be; why."""
        while not (reason := self._recorder.shortage() or self._standstill()):
            part = self._parts[-1]
            ends = [end for end in (self._following, part.ending) if end is not None]
            await asyncio.wait(ends, timeout=LOOK_AGAIN, return_when=asyncio.FIRST_COMPLETED)
            if self._following is not None and self._following.done():
                error = self._following.exception()
                return str(error) if isinstance(error, ServerError) else "The screen's recording failed."
            if part.ending.done():
                await asyncio.sleep(SWITCHING)
                async with self._switching:
                    if self._parts[-1] is part:
                        return f"{PROGRAM}, which records the screen, ended."
        return reason

    def _standstill(self) -> str:
        """What is wrong when nothing was written for too long; empty while it grows."""
        now = asyncio.get_running_loop().time()
        name = self._parts[-1].name
        size = self._recorder.folder.size(name)
        if (name, size) != self._growth[:2]:
            self._growth = (name, size, now)
        return "The screen's recording stood still." if now - self._growth[2] > STANDSTILL else ""

    async def close(self) -> None:
        """End it: its files are whole, and nothing of it runs."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self._sizes is not None:
            await stop(self._sizes, screen_account.STOP_DEADLINE)
        await asyncio.gather(*map(self._finish, list(self._parts)))

    async def _finish(self, part: _Part) -> None:
        await stop(part.process, screen_account.STOP_DEADLINE)
        with contextlib.suppress(ValueError):
            self._parts.remove(part)
            self._recorder.folder.end(part.name)
