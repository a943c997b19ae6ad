"""The remote's screen on the admin's: the login window, a login there by the card here, and the session."""

from __future__ import annotations

from demo.steps import step
from lab.desktop import Desktop
from lab.hosts import CHECKOUT, Host
from lab.processes import wait_until
from lab.product import SRA, Service
from lab.screen import OwnScreen

PICTURES = CHECKOUT / "build" / "pictures"
WINDOW, SESSION = (0x20, 0x42, 0x5F), (0x3B, 0x5F, 0x41)
"""The backgrounds of the login window and of the session (lab/desktop.py)."""
SEEN = "the card is here"
_LOOK = f"""\
PS4='$ '
set -x
whoami
opensc-tool --list-readers
pkcs11-tool --list-objects --type cert 2>/dev/null
{{ set +x; }} 2>/dev/null
printf '\\033]0;{SEEN}\\007'
"""
"""What the session's terminal shows; its title says when it has."""
_LOOK_AT = "/usr/local/bin/look-at-the-card"
_TERMINAL = f"xterm -hold -geometry 96x18+40+90 -fn 9x15 -e sh {_LOOK_AT}"


def show(admin: Host, remote: Host, service: Service, account: str) -> None:
    """Log in at a window that is elsewhere; what was seen is kept in build/pictures."""
    own = OwnScreen(admin)
    remote.write(_LOOK_AT, _LOOK)
    desktop = Desktop(remote, autostart=[_TERMINAL])
    with step("A login window on the remote, and a screen at the admin's"):
        remote.run([SRA, "pam", "enable", "lightdm"])
        desktop.start()
        desktop.wait_for_greeter()
        own.start()
    with step("sra screen: the login window is seen in TigerVNC's viewer") as shown:
        connection = own.sra_screen(service, f"software:{account}")
        connection.wait_for("The remote's screen is shown.", 20)
        own.wait_for_colour(WINDOW)
        own.picture(PICTURES / "demo-login-window.png")
        shown.append("build/pictures/demo-login-window.png")
    with step("Enter, twice: the card logs in there, the PIN is asked here") as shown:
        own.press("Return", "Return")
        desktop.wait_for_session(account)
        wait_until(lambda: desktop.windows(SEEN), "the session's terminal", 20)
        own.wait_for_colour(SESSION)
        own.picture(PICTURES / "demo-session.png")
        shown.append("build/pictures/demo-session.png")
    with step("Logging out there: the screen comes back by itself"):
        desktop.log_out(account)
        desktop.wait_for_greeter()
        own.wait_for_colour(WINDOW)
    with step("The viewer is closed: sra screen has ended, and the password's account is locked") as shown:
        own.close_viewer()
        connection.wait()
        desktop.stop()
        shadow = next(line for line in remote.read("/etc/shadow").splitlines() if line.startswith("_srascreen:"))
        shown.append(":".join(shadow.split(":")[:2]))
