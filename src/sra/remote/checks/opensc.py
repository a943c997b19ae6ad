"""Whether OpenSC, by which the programs of a remote use a card, works and sees the virtual readers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from sra.cards.pcsc import reader as pcsc_reader
from sra.cards.pcsc.reader import ReaderState
from sra.checks import WrongError
from sra.errors import CardError

READER = "Secure Remote Access"
"""What the names of the virtual readers begin with (reader/reader.conf.in)."""
MODULES = (
    "/usr/lib/*/opensc-pkcs11.so", "/usr/lib/opensc-pkcs11.so", "/usr/lib64/opensc-pkcs11.so",
    "/usr/lib64/pkcs11/opensc-pkcs11.so", "/Library/OpenSC/lib/opensc-pkcs11.so",
)  # fmt: skip
"""Where distributions put OpenSC's PKCS #11 module."""
TOOLS = ("pkcs11-tool", "opensc-tool")
PATIENCE = 15.0
"""Seconds for OpenSC to look into every reader; a card that it has not seen before takes it one."""

_SLOT = re.compile(r"Slot [0-9]+ \(0x[0-9a-f]+\): (?P<reader>.*\S)")
_CARD = "token label"


def check_opensc() -> str:
    """What OpenSC sees; raise ``WrongError`` if it is missing, or does not see what pcscd has."""
    module = _module()
    before = _readers_if_any()
    slots = slots_in(_listed(module))
    steady = before & _readers_if_any()  # a card that comes or goes meanwhile says nothing
    for reader in sorted(steady, key=lambda reader: reader.name):
        if reader.name not in slots:
            raise WrongError(f"OpenSC does not see the reader {reader.name}.", "systemctl restart pcscd.service")
        if reader.has_card and not slots[reader.name]:
            raise WrongError(f"OpenSC does not know the card in {reader.name}.", "opensc-tool --reader 0 --name")
    cards = sum(reader.has_card for reader in steady)
    return f"{module} sees {len(steady)} virtual readers, {cards} with a card"


def slots_in(text: str) -> dict[str, bool]:
    """Reader -> whether OpenSC knows a card in it, in what ``pkcs11-tool --list-slots`` has said."""
    slots: dict[str, bool] = {}
    reader = ""
    for line in text.splitlines():
        if match := _SLOT.match(line):
            reader = match["reader"]
            slots[reader] = slots.get(reader, False)
        elif line.strip().startswith(_CARD):
            slots[reader] = True
    return slots


def _module() -> Path:
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    modules = [path for pattern in MODULES for path in Path("/").glob(pattern.removeprefix("/"))]
    if missing or not modules:
        what = " and ".join(missing) or "opensc-pkcs11.so"
        raise WrongError(
            f"{what} is missing, so no program here can use a card.", "apt-get install opensc opensc-pkcs11"
        )
    return modules[0]


def _listed(module: Path) -> str:
    """What the tool lists; its exit status is 1 where there is no slot, as where pcscd does not run."""
    command = ("pkcs11-tool", "--module", str(module), "--list-slots")
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=PATIENCE,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise WrongError(
            f"{module} does not answer within {PATIENCE:.0f} seconds; perhaps a login waits for a PIN just now."
        ) from error
    if not done.stdout.startswith("Available slots:"):
        raise WrongError(f"{module} can't be used: {done.stderr}", "apt-get install --reinstall opensc-pkcs11")
    return done.stdout


def virtual_readers() -> frozenset[ReaderState]:
    """Ours, as pcscd has them; raise ``CardError`` if there is no reader at all."""
    return frozenset(state for state in pcsc_reader.list_readers() if READER in state.name)


def _readers_if_any() -> frozenset[ReaderState]:
    try:
        return virtual_readers()
    except CardError:
        return frozenset()
