"""Sharing an X display: X0tigervnc's command line, and what the person at the screen is asked and shown.

Its socket is one that only the screen's account and root can reach.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sra.remote.screen_sharing import screen_account
from sra.remote.screen_sharing.screen_account import PATH, ScreenAccount
from sra.system.processes import stop

PROGRAM = "X0tigervnc"
"""The server itself; Debian's x0tigervncserver is a script around it."""
PAM_SERVICE = "sra-vnc"
_VIEW_ONLY = ("-AcceptKeyEvents=0", "-AcceptPointerEvents=0")
ALLOWED = 101
"""What xmessage, which asks and needs nothing but X, exits with when its button “Allow” is pressed."""


def arguments(display: str, socket: Path, account: ScreenAccount, *, view_only: bool) -> tuple[str, ...]:
    """The server's command line. It holds no secret: every user of the machine can read it.

    ``Plain`` sends the password in clear, and is alone in being checked in full by PAM and needing no certificate of
    its own: it never leaves this machine but inside the admin's TLS stream.
    """
    return (
        PROGRAM, f"-display={display}", f"-rfbunixpath={socket}", "-rfbunixmode=384", "-rfbport=-1",
        "-SecurityTypes=Plain", f"-PlainUsers={account.name}", f"-PAMService={PAM_SERVICE}",
        "-NeverShared=1", "-DisconnectClients=0", "-UseBlacklist=0", "-AcceptSetDesktopSize=0",
        "-desktop=Secure Remote Access", "-Log=*:stderr:0", *(_VIEW_ONLY if view_only else ()),
    )  # fmt: skip


def environment(display: str, cookies: Path) -> dict[str, str]:
    """The environment of the screen account's programs; nothing of this process's own is in it."""
    return {"DISPLAY": display, "XAUTHORITY": str(cookies), "PATH": PATH, "HOME": "/nonexistent"}


def question(by: str, seconds: int, remark: str = "") -> tuple[str, ...]:
    """The command that asks for consent; no answer counts as a no. ``remark``: what else the person should know."""
    request = f"{by}\nwants to see this screen and work at it." + (f"\n{remark}" if remark else "")
    text = f"{request}\n\nWithout an answer it is refused in {seconds} seconds."
    buttons = ("-buttons", f"Allow:{ALLOWED},Refuse:102")
    return ("xmessage", "-title", "Secure Remote Access", "-center", "-timeout", str(seconds), *buttons, text)


async def consents(by: str, seconds: int, account: ScreenAccount, values: dict[str, str], remark: str = "") -> bool:
    """Whether the person at the screen allowed it in time."""
    asking = await screen_account.start(question(by, seconds, remark), account, values)
    try:
        async with asyncio.timeout(seconds + screen_account.STOP_DEADLINE):
            return await asking.wait() == ALLOWED
    except TimeoutError:
        return False
    finally:
        await stop(asking, screen_account.STOP_DEADLINE)


def sentence(by: str, since: str, *, recorded: bool = False) -> str:
    """The text of the notice."""
    return f"This screen is {'recorded and ' if recorded else ''}shared with {by} since {since}."


def notice(by: str, since: str, *, recorded: bool = False) -> tuple[str, ...]:
    """The command that shows the notice in a corner, for as long as the screen is shared."""
    program = (sys.executable, "-I", "-m", "sra.remote.screen_sharing.x11.display_x11")
    return (*program, "notice", sentence(by, since, recorded=recorded))
