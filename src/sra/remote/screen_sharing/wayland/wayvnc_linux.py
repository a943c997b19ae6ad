"""A Wayland session of wlroots as a screen: served by wayvnc, told and asked of by swaynag, all without its rights.

Each of these programs is of the screen's account, and is given a connection to the session: none can reach it itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from sra.errors import SraError
from sra.remote.screen_sharing.wayland import wayvnc_proxy as wayvnc_door
from sra.remote.screen_sharing.wayland import wlroots_linux
from sra.remote.screen_sharing.wayland.wlroots_linux import Compositor
from sra.remote.screen_sharing.x11 import people_linux, vnc_linux
from sra.remote.screen_sharing.x11.vnc_linux import ServerError, VncAccount

SWAYNAG = "swaynag"
_LINE = (SWAYNAG, "--type", "warning", "--layer", "overlay")
"""A line above everything else."""
ALLOWED = b"allowed\n"
"""What its button has said, since its exit status says nothing."""
TELL_AGAIN = 1.0
"""Seconds after which a notice that somebody put away is back."""

NOT_SERVED = (
    "wayvnc can't share this session: its compositor has to have wlroots' screencopy, virtual pointer and virtual "
    "keyboard."
)


class WlrootsScreen:
    """The session's screen, for the length of one share."""

    def __init__(self, compositor: Compositor, account: VncAccount, folder: Path) -> None:
        self._compositor = compositor
        self._account = account
        self._values = {"XDG_RUNTIME_DIR": str(folder), "PATH": vnc_linux.PATH, "HOME": "/nonexistent"}
        self._telling: asyncio.Task[None] | None = None

    def check(self, *, speaks: bool) -> None:
        """Raise ``ServerError`` unless there is what serves the screen and, if it ``speaks``, shows a text on it."""
        for program in (wayvnc_door.PROGRAM, SWAYNAG)[: 1 + speaks]:
            vnc_linux.require(program)

    async def consents(self, by: str, seconds: int) -> bool:
        """Whether who is logged in there allowed it in time; a yes where there is nobody."""
        if not self._compositor.is_somebodys:
            return True
        asking = await self._start(question(by, seconds), stdout=asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(seconds):
                return asking.stdout is not None and await asking.stdout.read(len(ALLOWED) + 1) == ALLOWED
        except TimeoutError:
            return False
        finally:
            await vnc_linux.stop(asking)

    async def serve(self, socket: Path, *, view_only: bool) -> asyncio.subprocess.Process:
        """The server, which listens there; ``ServerError`` if it can't."""
        argv = (sys.executable, "-I", "-m", wayvnc_door.__name__, str(socket))
        server = await self._start((*argv, "view-only") if view_only else argv)
        try:
            await vnc_linux.wait_until_it_listens(server, socket, wayvnc_door.PROGRAM)
        except ServerError as error:
            await vnc_linux.stop(server)
            raise ServerError(NOT_SERVED if server.returncode == 0 else str(error)) from error
        return server

    def tell(self, by: str, since: str) -> None:
        """Show from now on with whom the screen is shared."""
        self._telling = asyncio.create_task(self._keep_telling(people_linux.sentence(by, since)))

    async def _keep_telling(self, text: str) -> None:
        """Until the session is gone."""
        with contextlib.suppress(SraError, OSError):
            while True:
                shown = await self._start((*_LINE, "--message", text))
                try:
                    await shown.wait()
                finally:
                    await vnc_linux.stop(shown)
                await asyncio.sleep(TELL_AGAIN)

    async def close(self) -> None:
        """Nothing is shown there any more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def _start(self, argv: Sequence[str], stdout: int = asyncio.subprocess.DEVNULL) -> asyncio.subprocess.Process:
        with wlroots_linux.connect(self._compositor) as connection:
            number = connection.fileno()
            values = {**self._values, wayvnc_door.WAYLAND_SOCKET: str(number)}
            return await vnc_linux.start(argv, self._account, values, passed=(number,), stdout=stdout)


def question(by: str, seconds: int) -> tuple[str, ...]:
    """Ask for consent; without an answer it is a no. swaynag has a shell run what its button means: a fixed word."""
    buttons = (
        "--dismiss-button",
        "Refuse",
        "--button-dismiss-no-terminal",
        "Allow",
        f"echo {ALLOWED.decode().strip()}",
    )
    text = f"{by} wants to see this screen and work at it: refused in {seconds} s."
    return (*_LINE, *buttons, "--message", text)
