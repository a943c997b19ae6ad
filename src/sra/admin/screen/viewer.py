"""The program that shows a remote's screen, and how it is told where and by what password. No I/O but starting it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from sra.admin.screen.viewer_socket import ViewerSocket
from sra.errors import UsageError
from sra.system.processes import stop

STOP_DEADLINE = 2.0
"""Seconds for the viewer to end; then it is killed."""
SOCKET, PORT, USERNAME, CLIPBOARD = "{socket}", "{port}", "{username}", "{clipboard}"
"""What stands for the place, the name, and 1 or 0 for a shared clipboard, in a command that a person has set."""

CLIPBOARD_SETTINGS = ("SendClipboard", "AcceptClipboard", "SendPrimary", "SetPrimary")
"""TigerVNC's: all of them are on unless they are set."""

INSTALL = "No VNC viewer was found: install tigervnc-viewer, or set viewer in config.toml (docs/screen.md)."


@dataclass(frozen=True)
class ViewerCredential:
    """What the viewer opens the screen with, once."""

    username: str
    password: str


@dataclass(frozen=True)
class Viewer:
    """A command with placeholders. ``in_url``: the password is in it, since the program takes it no other way."""

    argv: tuple[str, ...]
    in_url: bool = False

    @property
    def takes_path(self) -> bool:
        """Whether it connects to a UNIX socket, which no other user of this machine can reach."""
        return any(SOCKET in word for word in self.argv)

    def command(self, door: ViewerSocket, credential: ViewerCredential) -> tuple[str, ...]:
        """The command line."""
        username = quote(credential.username, safe="") if self.in_url else credential.username
        values = {SOCKET: str(door.path), PORT: str(door.port), USERNAME: username}
        if self.in_url:
            values["{password}"] = quote(credential.password, safe="")
        return tuple(_filled(word, values) for word in self.argv)

    def environment(self, credential: ViewerCredential, ours: Mapping[str, str]) -> dict[str, str]:
        """Its environment, which only the same user can read."""
        secret = {} if self.in_url else {"VNC_USERNAME": credential.username, "VNC_PASSWORD": credential.password}
        return {**ours, **secret}


def _filled(word: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        word = word.replace(placeholder, value)
    return word


def choose(
    configured: Sequence[str], platform: str = sys.platform, *, view_only: bool = False, clipboard: bool = False
) -> Viewer:
    """The viewer that the person has set, or the platform's usual one."""
    if configured:
        if not any(SOCKET in word or PORT in word for word in configured):
            raise UsageError(f"viewer in config.toml needs {SOCKET} or {PORT}, for where the screen is to be had.")
        return Viewer(tuple(word.replace(CLIPBOARD, str(int(clipboard))) for word in configured))
    return macos() if platform == "darwin" else tigervnc(view_only=view_only, clipboard=clipboard)


def tigervnc(*, view_only: bool, clipboard: bool = False) -> Viewer:
    """TigerVNC's viewer, without a word when the screen goes away: this program says it.

    Unless the person wants it, nothing that was copied here (a password, say) goes to the remote, which is not trusted,
    and nothing that the remote makes up gets into what is pasted here, into a shell, say.
    """
    quiet = ("-AlertOnFatalError=0", "-ReconnectOnError=0", "-RemoteResize=0")
    shared = tuple(f"-{name}={int(clipboard)}" for name in CLIPBOARD_SETTINGS)
    return Viewer(("xtigervncviewer", "-SecurityTypes=Plain", *quiet, *shared, f"-ViewOnly={int(view_only)}", SOCKET))


def macos() -> Viewer:
    """The viewer of macOS, which takes a URL. Written from its documentation, not tried on a Mac.

    Whether the clipboard is shared is a setting of its own (Edit, Use Shared Clipboard), which no URL changes.
    The URL is on the command line of ``open`` for a moment, where this machine's other users can see it; the password
    in it is worth nothing without the door, which takes one connection.
    """
    return Viewer(("open", "-W", "vnc://{username}:{password}@127.0.0.1:{port}"), in_url=True)


@contextlib.asynccontextmanager
async def running(
    viewer: Viewer, door: ViewerSocket, credential: ViewerCredential
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The viewer, while this is entered; raise ``UsageError`` if there is none."""
    argv = viewer.command(door, credential)
    if shutil.which(argv[0]) is None:
        raise UsageError(INSTALL if argv[0] == "xtigervncviewer" else f"The viewer “{argv[0]}” is not installed.")
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=viewer.environment(credential, os.environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await asyncio.shield(asyncio.create_task(stop(process, STOP_DEADLINE)))
