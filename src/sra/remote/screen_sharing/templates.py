"""The files that sharing the screen needs, as bytes: the PAM service and the helper's unit."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def pam_service(python: Path, socket: Path) -> bytes:
    """``/etc/pam.d/sra-vnc``; ``python`` is the interpreter that has this package, ``socket`` the helper's."""
    return _filled("pam-sra-vnc", PYTHON=str(python), SOCKET=str(socket))


def helper_service(programs: Path, wanted: str = "") -> bytes:
    """``sra-screen.service``; ``programs`` is the folder of sra-screen, ``wanted`` the unit that shows the screen."""
    return _filled("sra-screen.service", BIN=str(programs), WANTED=wanted)


def _filled(name: str, **values: str) -> bytes:
    text = resources.files(__package__).joinpath("files", name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text.encode()
