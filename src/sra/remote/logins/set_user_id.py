"""Which programs with set-user-ID would load a PKCS #11 module that obeys the environment of their caller.

OpenSC and PC/SC's library read their settings with plain ``getenv()``, so that in ``su`` the caller says which
libraries root loads. Only our own module, which takes the environment away first, may be named in the stack of such a
program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sra.remote.logins import pam_pkcs11 as settings
from sra.remote.logins.login_paths import LoginPaths

SERVICES = (
    "su", "su-l", "sudo", "sudo-i", "polkit-1", "xscreensaver", "passwd", "chsh", "chfn", "chage", "newgrp", "runuser",
    "ksu", "doas", "vlock", "physlock", "i3lock", "swaylock", "kcheckpass", "kde", "cinnamon-screensaver",
)  # fmt: skip
"""The PAM services of programs that have set-user-ID in some distribution."""
MAX_FILE = 64 * 1024
MAX_DEPTH = 8
"""Of stacks that include stacks: PAM itself stops at 32, distributions use 2."""

_INCLUDE = re.compile(r"(?:@include|-?auth\s+(?:include|substack))\s+(?P<name>[A-Za-z0-9._-]+)")
_MODULE = re.compile(r"-?auth\s+(?:\[[^\]]*\]|\S+)\s+(?:\S*/)?(?P<name>pam_pkcs11|pam_p11)\.so(?P<arguments>.*)")


@dataclass(frozen=True)
class DirectModule:
    """A library that a service's stack loads past ours, and the file in which it is named."""

    service: str
    module: str
    named_in: Path


def direct_modules(login: LoginPaths, allowed: str) -> list[DirectModule]:
    """What the stacks of these services would load besides ``allowed``."""
    return [
        DirectModule(service, module, path)
        for service in SERVICES
        for path, module in dict.fromkeys(_modules(login, service, MAX_DEPTH))
        if module != allowed
    ]


def _modules(login: LoginPaths, stack: str, depth: int) -> Iterator[tuple[Path, str]]:
    """Every PKCS #11 module that a stack names, and where."""
    path, text = _stack(login, stack)
    for line in text.replace("\\\n", " ").splitlines():
        if (include := _INCLUDE.match(line.strip())) and depth > 0:
            yield from _modules(login, include["name"], depth - 1)
        elif module := _MODULE.match(line.strip()):
            words = module["arguments"].partition("#")[0].split()
            yield from ((path, word) for word in words if module["name"] == "pam_p11" and word.startswith("/"))
            yield from _of_pam_pkcs11(login, words) if module["name"] == "pam_pkcs11" else ()


def _of_pam_pkcs11(login: LoginPaths, words: list[str]) -> Iterator[tuple[Path, str]]:
    named = [word.removeprefix("config_file=") for word in words if word.startswith("config_file=")]
    path = login.root / named[-1].lstrip("/") if named else login.default_configuration
    yield from ((path, module) for module in sorted(settings.modules_in(_text(path))))


def _stack(login: LoginPaths, name: str) -> tuple[Path, str]:
    """A stack as PAM finds it: the machine's own before the vendor's."""
    own = login.stacks / name
    path = own if own.exists() else login.vendor_stacks / name
    return path, _text(path)


def _text(path: Path) -> str:
    """The text of a file that is only looked at, whoever may write it; nothing if it can't be read."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(MAX_FILE).decode(errors="replace")
    return ""
