"""What whoever sits at the shared screen is asked and shown, by xmessage, which needs nothing but X."""

from __future__ import annotations

import asyncio

from sra.remote.screen_sharing import vnc_linux
from sra.remote.screen_sharing.vnc_linux import Account

ALLOWED = 101
_TITLE = "Secure Remote Access"


def question(by: str, seconds: int) -> tuple[str, ...]:
    """Ask for consent; without an answer it is a no."""
    text = f"{by}\nwants to see this screen and work at it.\n\nWithout an answer it is refused in {seconds} seconds."
    buttons = ("-buttons", f"Allow:{ALLOWED},Refuse:102")
    return ("xmessage", "-title", _TITLE, "-center", "-timeout", str(seconds), *buttons, text)


def notice(by: str, since: str) -> tuple[str, ...]:
    """A small window in a corner that no window manager touches, for as long as the screen is shared."""
    plain = ("-xrm", "*overrideRedirect: true", "-xrm", "*message.scrollVertical: never", "-xrm", "*borderWidth: 0")
    text = f"This screen is shared with {by} since {since}."
    return ("xmessage", *plain, "-title", _TITLE, "-geometry", "-0+0", "-bg", "gold", "-buttons", "", text)


async def consents(by: str, seconds: int, account: Account, values: dict[str, str]) -> bool:
    """Whether the person at the screen allowed it in time."""
    asking = await vnc_linux.start(question(by, seconds), account, values)
    try:
        async with asyncio.timeout(seconds + vnc_linux.STOP_DEADLINE):
            return await asking.wait() == ALLOWED
    except TimeoutError:
        return False
    finally:
        await vnc_linux.stop(asking)
