"""The files that activation writes, as bytes: units, drop-ins, settings of pcscd, polkit and LightDM."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

_READER = """\
FRIENDLYNAME "Secure Remote Access"
DEVICENAME   /dev/null:{run}/readers/{number}
LIBPATH      {driver}
CHANNELID    {number}
"""
_READERS = "# The virtual readers of Secure Remote Access. Written by “sra activate”, removed by “sra deactivate”.\n"


def target(readers: int) -> bytes:
    """``sra.target``, with as many virtual cards as there are readers."""
    return _filled("sra.target", CARDS=" ".join(f"sra-card@{number}.service" for number in range(readers)))


def runtime_service() -> bytes:
    """``sra-runtime.service``."""
    return _filled("sra-runtime.service")


def srad_service(programs: Path) -> bytes:
    """``srad.service``; ``programs`` is the folder of srad."""
    return _filled("srad.service", BIN=str(programs))


def card_service(programs: Path, pcscd_uid: int) -> bytes:
    """``sra-card@.service``, for a pcscd that runs as this user."""
    return _filled("sra-card@.service", BIN=str(programs), PCSCD=f" --pcscd-uid {pcscd_uid}" if pcscd_uid else "")


def pcscd_socket() -> bytes:
    """The drop-in of ``pcscd.socket``."""
    return _filled("pcscd-socket.conf")


def pcscd_service() -> bytes:
    """The drop-in of ``pcscd.service``."""
    return _filled("pcscd-service.conf")


def polkit_rules() -> bytes:
    """The rule for a pcscd that asks polkit."""
    return _filled("polkit.rules")


def lightdm_conf(programs: Path) -> bytes:
    """LightDM's settings for a virtual screen; ``programs`` is the folder of sra-virtual-screen."""
    return _filled("lightdm.conf", BIN=str(programs))


def reader_conf(driver: str, run: str, readers: int) -> bytes:
    """The readers, for pcscd: see reader.conf(5) and ``reader/reader.conf.in``."""
    entries = (_READER.format(driver=driver, run=run, number=number) for number in range(readers))
    return "\n".join((_READERS, *entries)).encode()


def _filled(name: str, **values: str) -> bytes:
    text = resources.files(__package__).joinpath("files", name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text.encode()
