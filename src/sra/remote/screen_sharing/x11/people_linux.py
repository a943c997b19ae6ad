"""What whoever sits at the shared screen is asked (by xmessage, which needs nothing but X) and shown."""

from __future__ import annotations

import asyncio
import sys

from sra.remote.screen_sharing.x11 import vnc_linux
from sra.remote.screen_sharing.x11.vnc_linux import VncAccount

ALLOWED = 101
_TITLE = "Secure Remote Access"


def question(by: str, seconds: int, remark: str = "") -> tuple[str, ...]:
    """Ask for consent; without an answer it is a no. ``remark``: what more has to be known."""
    wish = f"{by}\nwants to see this screen and work at it." + (f"\n{remark}" if remark else "")
    text = f"{wish}\n\nWithout an answer it is refused in {seconds} seconds."
    buttons = ("-buttons", f"Allow:{ALLOWED},Refuse:102")
    return ("xmessage", "-title", _TITLE, "-center", "-timeout", str(seconds), *buttons, text)


def notice(by: str, since: str, *, recorded: bool = False) -> tuple[str, ...]:
    """A line in a corner, for as long as the screen is shared."""
    program = (sys.executable, "-I", "-m", "sra.remote.screen_sharing.x11.notice_x11")
    return (*program, sentence(by, since, recorded=recorded))


def sentence(by: str, since: str, *, recorded: bool = False) -> str:
    """What the notice says."""
    return f"This screen is {'recorded and ' if recorded else ''}shared with {by} since {since}."


async def consents(by: str, seconds: int, account: VncAccount, values: dict[str, str], remark: str = "") -> bool:
    """Whether the person at the screen allowed it in time."""
    asking = await vnc_linux.start(question(by, seconds, remark), account, values)
    try:
        async with asyncio.timeout(seconds + vnc_linux.STOP_DEADLINE):
            return await asking.wait() == ALLOWED
    except TimeoutError:
        return False
    finally:
        await vnc_linux.stop(asking)
