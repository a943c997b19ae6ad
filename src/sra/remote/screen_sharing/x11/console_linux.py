"""The local console while the screen is shared, where the owner wants it blanked; ``console_x11`` does it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys

from sra.errors import SraError
from sra.remote.screen_sharing import screen_account
from sra.remote.screen_sharing.screen_account import ScreenAccount, ServerError
from sra.remote.screen_sharing.x11.console_x11 import ConsoleWord

DEADLINE = 5.0
"""Seconds until it is dark, and until it is as it was."""
REMARK = "Meanwhile this screen is dark, and keyboard and mouse are off."
"""For the person who is asked to allow it."""
_PROGRAM = (sys.executable, "-I", "-m", "sra.remote.screen_sharing.x11.console_x11")
_REASONS = {
    ConsoleWord.NO_RAMPS: "its X server has no gamma ramp for every monitor",
    ConsoleWord.NO_DEVICES: "its X server has no XInput 2, by which keyboard and mouse are switched off",
    ConsoleWord.NOT_KEPT: "something stays visible, or can be typed or pointed with",
}

log = logging.getLogger("sra.screen")


class ConsoleError(SraError):
    """The console of this display can't be blanked."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The owner of this remote has its console blanked while it is shared; that fails: {reason}.")


class BlankedConsole:
    """The console of a display: dark and deaf from ``open`` to ``close``."""

    def __init__(self, account: ScreenAccount, values: dict[str, str]) -> None:
        self._account = account
        self._values = values
        self._program: asyncio.subprocess.Process | None = None

    async def open(self) -> None:
        """Return when nothing is seen there, and nothing works; ``ConsoleError`` says why that can't be.

        ``ServerError`` if the display is just going, or does not answer.
        """
        self._program = await self._start()
        word = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE):
                word = await _word(self._program)
        if word in _REASONS:
            raise ConsoleError(_REASONS[word])
        if word is not ConsoleWord.DARK:
            raise ServerError("The console can't be blanked: its X server does not answer.")

    async def wait_ended(self) -> str:
        """Return when it is blanked no longer, though it was not closed; the reason."""
        if self._program is None or await _word(self._program) is ConsoleWord.GONE:
            return screen_account.WENT_AWAY
        return "The console is blanked no longer."

    async def close(self) -> None:
        """Everything is as it was before, even if the program that should see to it was killed."""
        program, self._program = self._program, None
        if program is not None and not await _ended(program):
            await self.put_back()

    async def put_back(self) -> None:
        """Put back what a program that was killed has left."""
        if not await _ended(await self._start()):
            log.error("the console may still be dark: what should put it back has failed")

    async def _start(self) -> asyncio.subprocess.Process:
        return await screen_account.start(
            _PROGRAM, self._account, self._values, stdout=asyncio.subprocess.PIPE, outlives_us=True
        )


async def _word(program: asyncio.subprocess.Process) -> ConsoleWord | None:
    """The next one that it says; none if it ends without."""
    if program.stdout is None:
        return None
    try:
        return ConsoleWord((await program.stdout.readline()).decode(errors="replace").strip())
    except ValueError:
        return None


async def _ended(program: asyncio.subprocess.Process) -> bool:
    """Have it put everything back, and end; whether it did, or will: it waits for a terminal that is not shown."""
    if program.stdin is not None:
        program.stdin.close()
    try:
        async with asyncio.timeout(DEADLINE):
            return await program.wait() == 0
    except TimeoutError:
        log.warning("the console is still dark: its X server is busy, or another virtual terminal is shown")
        return True
