"""One share of the screen: a server on the display, a password that opens it once, and everything gone at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sra.errors import SraError
from sra.remote.screen_sharing import screen_account
from sra.remote.screen_sharing.helper_messages import Grant
from sra.remote.screen_sharing.password import OnePassword
from sra.remote.screen_sharing.recording import recorder
from sra.remote.screen_sharing.recording.recorder import Recording, ShareRecorder
from sra.remote.screen_sharing.screen_account import ScreenAccount, ServerError
from sra.remote.screen_sharing.wayland import wayvnc_proxy, wlroots_linux
from sra.remote.screen_sharing.wayland.wlroots_linux import Compositor, WlrootsScreen
from sra.remote.screen_sharing.x11 import console_linux, displays_linux, vnc_linux
from sra.remote.screen_sharing.x11.console_linux import BlankedConsole, ConsoleError
from sra.remote.screen_sharing.x11.displays_linux import Display, NoDisplayError
from sra.system import files
from sra.system.processes import first_of, stop

PATIENCE = 2.0
"""Seconds for a display to come: after a log-out the X server is a new one."""
LOOK_AGAIN = 0.1
"""Seconds between looks at what runs."""

NOT_ALLOWED = "The person logged in at the remote did not allow it."

log = logging.getLogger("sra.screen")


class DeniedError(SraError):
    """The owner's policy, or the person at the screen, said no."""


@dataclass(frozen=True)
class Policy:
    """What the owner of this machine demands.

    ``consent``: seconds to wait for a yes of the person logged in; with 0 nothing is asked. ``expire``: how many an
    unused password lives. ``blanked``: the console is dark, its keyboard and mouse off, while it is shared.
    """

    enabled: bool = True
    view_only: bool = False
    consent: int = 0
    notice: bool = True
    expire: int = 60
    blanked: bool = False


@dataclass(frozen=True)
class SharePlace:
    """Where shares are made: a ``folder`` of the screen's account, and how the display is found.

    ``recorder`` records them, if the owner wants that.
    """

    folder: Path
    account: ScreenAccount
    policy: Policy
    find_display: Callable[[], Display | Compositor] = lambda: wlroots_linux.find(
        tuple(displays_linux.processes()), displays_linux.console()
    )
    recorder: ShareRecorder | None = None

    @property
    def socket(self) -> Path:
        """Where the server listens."""
        return self.folder / "vnc"

    @property
    def cookies(self) -> Path:
        """The display's cookie, for the server."""
        return self.folder / "cookie"

    def clear(self) -> None:
        """Remove what a share leaves in the folder, also one that was killed: the socket and the display's cookie.

        The folder is the screen's account's: one that was broken into could leave a folder there, which is put aside.
        """
        for path in (self.socket, self.cookies, self.folder / wayvnc_proxy.INNER):
            try:
                path.unlink(missing_ok=True)
            except IsADirectoryError:
                path.rename(self.folder / f".{path.name}.{secrets.token_hex(8)}")


class Share:
    """The screen as it is shared with one admin."""

    def __init__(self, place: SharePlace, password: OnePassword, grant: Grant) -> None:
        self._place = place
        self._password = password
        self._grant = grant
        self._programs: list[asyncio.subprocess.Process] = []
        self._console: BlankedConsole | None = None
        self._wayland: WlrootsScreen | None = None
        self._recording: Recording | None = None

    async def open(self) -> str:
        """Begin: the password. Raises ``DeniedError``, ``NoDisplayError``, ``ServerError`` or ``PasswordError``."""
        if not self._place.policy.enabled:
            raise DeniedError("The owner of this remote does not share its screen.")
        if self._place.recorder is not None and (obstacle := self._place.recorder.obstacle()):
            raise DeniedError(obstacle)
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                display = self._place.find_display()
                if isinstance(display, Compositor):
                    await self._share_wayland(display)
                else:
                    await self._share_x11(display)
                return await self._password.issue()
            except (NoDisplayError, ServerError):
                await self._stop()
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(LOOK_AGAIN)

    async def _share_wayland(self, compositor: Compositor) -> None:
        place, by = self._place, self._grant.by
        if place.policy.blanked:
            raise DeniedError("The owner of this remote wants its console blanked, which Wayland has no way for.")
        if place.recorder is not None:
            raise DeniedError(recorder.NO_WAYLAND)
        self._place.clear()
        screen = self._wayland = WlrootsScreen(compositor, place.account, place.folder)
        screen.check(speaks=place.policy.notice or place.policy.consent > 0)
        if place.policy.consent and not await screen.consents(by, place.policy.consent):
            raise DeniedError(NOT_ALLOWED)
        self._programs = [await screen.serve(place.socket, view_only=self._is_view_only)]
        if place.policy.notice:
            screen.tell(by, _now())

    async def _share_x11(self, display: Display) -> None:
        place, by = self._place, self._grant.by
        place.clear()
        files.replace(place.cookies, displays_linux.cookie_file(display), 0o600)
        values = vnc_linux.environment(display.name, place.cookies)
        if place.policy.consent and displays_linux.is_somebody_logged_in(display):
            await self._ask_for_consent(values)
        if place.policy.blanked:
            self._console = BlankedConsole(place.account, values)
            try:
                await self._console.open()
            except ConsoleError as error:
                raise DeniedError(str(error)) from error
        argv = vnc_linux.arguments(display.name, place.socket, place.account, view_only=self._is_view_only)
        server = await screen_account.start(argv, place.account, values)
        self._programs = [server]
        await screen_account.wait_until_it_listens(server, place.socket, vnc_linux.PROGRAM)
        if place.recorder is not None:
            self._recording = Recording(place.recorder, by)
            await self._recording.open(values)
        if place.policy.notice:
            notice = vnc_linux.notice(by, _now(), recorded=self._recording is not None)
            self._programs.append(await screen_account.start(notice, place.account, values))

    async def _ask_for_consent(self, values: dict[str, str]) -> None:
        place = self._place
        remarks = (place.policy.blanked, console_linux.REMARK), (place.recorder is not None, recorder.REMARK)
        remark = "\n".join(text for holds, text in remarks if holds)
        if not await vnc_linux.consents(self._grant.by, place.policy.consent, place.account, values, remark):
            raise DeniedError(NOT_ALLOWED)

    @property
    def _is_view_only(self) -> bool:
        return self._grant.view_only or self._place.policy.view_only

    @property
    def recorded_as(self) -> str:
        """The name of the recording; empty without one."""
        return self._recording.name if self._recording is not None else ""

    def connect(self) -> socket.socket:
        """A connection to the server."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self._place.socket))
        except OSError as error:
            connection.close()
            raise ServerError(f"The screen server takes no connection: {error.strerror}.") from error
        return connection

    async def wait_ended(self) -> str:
        """Return when something has ended that a share needs, or the password was not used in time; the reason."""
        needed = [each for each in (self._console, self._recording) if each is not None]
        expire = self._place.policy.expire
        async with first_of(self._wait_server_ended(), *(each.wait_ended() for each in needed), seconds=expire) as ends:
            if not any(end.done() for end in ends) and self._password.is_unused:
                return f"The screen's password was not used within {expire} s."
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            reason: str = done.pop().result()
            return reason

    async def _wait_server_ended(self) -> str:
        await self._programs[0].wait()
        return screen_account.WENT_AWAY

    async def close(self) -> None:
        """The password is void, the server has ended, then the recording, and nothing of it is left."""
        try:
            await self._password.lock()
        finally:
            if self._wayland is not None:
                await self._wayland.close()
            await self._stop()
            self._place.clear()

    async def _stop(self) -> None:
        """Nothing runs any more of what a share, or a try to begin one, has started; the console is as it was."""
        await asyncio.gather(*(stop(program, screen_account.STOP_DEADLINE) for program in self._programs))
        if self._recording is not None:
            await self._recording.close()
        console, self._console = self._console, None
        if console is not None:
            await console.close()


def _now() -> str:
    return f"{datetime.now():%H:%M}"


async def put_console_back(place: SharePlace) -> None:
    """The console as it was before a share that was killed together with the program that should have seen to it."""
    with contextlib.suppress(SraError):
        display = place.find_display()
        if isinstance(display, Compositor):
            return
        files.replace(place.cookies, displays_linux.cookie_file(display), 0o600)
        await BlankedConsole(place.account, vnc_linux.environment(display.name, place.cookies)).put_back()
        place.clear()


def make_folder(folder: Path, account: ScreenAccount) -> None:
    """A folder that only the screen's account (and root) can enter."""
    files.make_folder(folder.parent, 0o755)
    folder.parent.chmod(0o755)
    files.make_folder(folder, 0o700)
    folder.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
