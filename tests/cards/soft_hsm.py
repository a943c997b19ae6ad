"""SoftHSM with cards to test with: a real PKCS#11 module, whose cards are files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sra.cards.software.maker import CardHolder, issue, parse_subject, validity
from sra.cards.software.software_keys import PrivateKey
from sra.piv.keys import Algorithm, Operation, Slot, purpose
from tests.memory_card import private_key

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN, SO_PIN = b"123456", b"87654321"

_USAGES = {Operation.SIGN: "--usage-sign", Operation.DECRYPT: "--usage-decrypt", Operation.DERIVE: "--usage-derive"}


class SoftHsm:
    """A SoftHSM of its own. Each has its own copy of the library, since that reads its settings once in a process."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self._folder = folder
        self.module = folder / "libsofthsm2.so"
        self.environment = {"SOFTHSM2_CONF": str(folder / "softhsm2.conf")}
        shutil.copy(LIBRARY, self.module)
        (folder / "cards").mkdir()
        (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/cards\nlog.level = ERROR\n{settings}\n")

    def add_card(self, label: str = "ann") -> None:
        self._run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN)

    def add_key(
        self,
        slot: Slot,
        algorithm: Algorithm,
        key_id: str,
        *options: str,
        label: str = "ann",
        as_slot: Slot | None = None,
    ) -> PrivateKey:
        """A key that the slot could have, under a CKA_ID, with the certificate of ``as_slot``."""
        private = private_key(algorithm, label, slot)
        holder, valid = CardHolder(parse_subject("Ann")), validity(datetime.now(UTC), days=30)
        certificate = issue(as_slot or slot, private, holder, None, valid)
        encoded = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        usage = _USAGES[purpose(slot, algorithm)]
        self._write("privkey", key_id, encoded, label, [usage, "--private", "--sensitive", *options])
        self._write("cert", key_id, certificate, label, [])
        return private

    def add_certificate(self, certificate: bytes, key_id: str, label: str = "ann") -> None:
        self._write("cert", key_id, certificate, label, [])

    def _write(self, kind: str, key_id: str, content: bytes, label: str, options: Sequence[str]) -> None:
        file = self._folder / "object"
        file.write_bytes(content)
        where = ["--module", str(LIBRARY), "--token-label", label, "--login", "--pin", PIN.decode()]
        self._run("pkcs11-tool", *where, "--write-object", str(file), "--type", kind, "--id", key_id, *options)

    def _run(self, *words: str | bytes) -> None:
        environment = {**os.environ, **self.environment}
        subprocess.run(words, env=environment, check=True, capture_output=True)
