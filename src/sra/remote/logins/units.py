"""The units that keep the login's files true where systemd runs, as bytes."""

from __future__ import annotations

from importlib import resources

SERVICE = "sra-logins.service"
STARTED = ("sra-logins.path", "sra-logins.timer")
"""Those that are enabled; they start the service."""


def unit_files(python: str) -> dict[str, bytes]:
    """Name -> unit, for a Python that has this product."""
    folder = resources.files(__package__).joinpath("files")
    texts = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in (SERVICE, *STARTED)}
    return {name: text.replace("@PYTHON@", python).encode() for name, text in texts.items()}
