"""The programs of this machine that ask through PAM who somebody is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sra.errors import UsageError
from sra.logs import clean

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Service:
    """A PAM service, by the name of its file in ``/etc/pam.d``.

    ``names_nobody``: it may begin without an account, so that the card says whose turn it is; then the card has to be
    asked before pam_nologin, which would ask for a name. ``arguments`` of pam_pkcs11: ``quiet`` where each message of
    its own waits for somebody to press Enter.
    """

    name: str
    what: str
    names_nobody: bool = False
    arguments: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether logins may come from other machines: not known to be at this one only."""
        return self.name not in _HERE


KNOWN = (
    Service("login", "the text console"),
    Service("su", "another account, with its own card"),
    Service("sudo", "commands as root"),
    Service("sudo-i", "sudo --login"),
    Service("lightdm", "the login window", names_nobody=True),
    Service("xscreensaver", "unlocking the screen", arguments=" quiet"),
    Service("polkit-1", "administration in windows, and pkexec"),
)
"""Those whose ways are known. Others, sshd among them, are touched only if they are named; without surprises."""

SESSIONS = ("login", "lightdm", "gdm-password", "sddm", "sshd")
"""Those that begin a session; all others want somebody who is logged in already, so they are no way into a machine."""


_HERE = frozenset({*(service.name for service in KNOWN), "su-l", "gdm-password", "sddm"})
"""Services for people at this machine."""


def is_name(name: str) -> bool:
    """Whether a service may be called that."""
    return _NAME.fullmatch(name) is not None


def service_of(name: str) -> Service:
    """The service of this name; raise ``UsageError`` if that can't be one."""
    if not is_name(name):
        raise UsageError(f"“{clean(name)}” can't be a PAM service: name a file of /etc/pam.d.")
    return next((each for each in KNOWN if each.name == name), Service(name, ""))
