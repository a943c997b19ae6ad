"""The programs of a login, asked about a case of the corpus with what root's map maker hands them."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from sra.errors import RefusedError
from sra.identity import policy
from sra.identity.policy import CertificatePolicy, Certificates
from sra.remote.logins import pam_pkcs11
from sra.remote.logins.pam_pkcs11 import Pkcs11Settings
from sra.remote.revocation.cache import Cache
from sra.remote.revocation.checker import PolicyChecker
from sra.remote.revocation.evidence_store import OfflineEvidenceStore
from sra.remote.revocation.export import login_trust, write_folder
from sra.remote.revocation.trust_folder import TrustFolder
from tests.chains import card
from tests.paths_corpus.building import NOW, Case
from tests.paths_corpus.judges import write

P11_CHILD = "/usr/libexec/sssd/p11_child"
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "123456"


class Login:
    """A machine's login for one case, in a folder; ``empty_card``: a card of SoftHSM without certificates."""

    def __init__(self, case: Case, folder: Path, empty_card: Path) -> None:
        self._case = case
        self._folder = folder
        self._der = case.card.public_bytes(Encoding.DER)
        trust = write(case, folder)
        rules = Certificates.CA_REVOCATION if case.checks_revocation else Certificates.CA
        self._policy = CertificatePolicy(rules, case.policies)
        self._trust = TrustFolder(trust, trust)
        found = login_trust(self._trust.read(), Cache(folder / "kept"), self._policy.max_age, NOW)
        write_folder(folder / "hashed", found.folder)
        (folder / "trusted.pem").write_bytes(found.authorities_file)
        (folder / "lists.pem").write_bytes(found.lists_file)
        self._settings = policy.settings(self._policy, folder / "lists.pem")
        self._empty_card = empty_card

    @property
    def is_mapped(self) -> bool:
        """Whether the map maker gives the card to anybody."""
        evidence = OfflineEvidenceStore(Cache(self._folder / "kept"), self._policy.max_age, 1.0)
        try:
            asyncio.run(PolicyChecker(self._policy, self._trust, evidence).check(card(self._case.card), NOW))
        except RefusedError:
            return False
        return True

    def sssd(self) -> bool:
        """What SSSD's p11_child says of the certificate."""
        certificate = base64.b64encode(self._der).decode()
        command: list[str | Path] = [
            P11_CHILD,
            "--verification",
            "--certificate",
            certificate,
            "--ca_db",
            self._folder / "trusted.pem",
        ]
        command += ["--verify", self._settings.sssd, "--logger=stderr"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def pam_pkcs11(self) -> bool:
        """What pam_pkcs11 says when the card is in the reader, by its own pklogin_finder."""
        folder = self._folder
        shutil.copytree(self._empty_card, folder / "card")
        (folder / "softhsm.conf").write_text(f"directories.tokendir = {folder}/card\nobjectstore.backend = file\n")
        (folder / "der").write_bytes(self._der)
        (folder / "map").write_bytes(pam_pkcs11.mapping_of({self._der: "root"}))
        text = Pkcs11Settings(SOFTHSM, f"{folder}/hashed", f"{folder}/map", self._settings.pam_pkcs11).text
        (folder / "pam_pkcs11.conf").write_text(text)
        environment = {**os.environ, "SOFTHSM2_CONF": str(folder / "softhsm.conf")}
        write_card: list[str | Path] = [
            "pkcs11-tool",
            "--module",
            SOFTHSM,
            "-l",
            "--pin",
            PIN,
            "--write-object",
            folder / "der",
        ]
        write_card += ["--type", "cert", "--id", "01", "--label", "card"]
        subprocess.run(write_card, env=environment, capture_output=True, check=True)
        asked = subprocess.run(
            ["pklogin_finder", f"config_file={folder}/pam_pkcs11.conf"], env=environment, input=f"{PIN}\n", text=True,
            capture_output=True, check=False, start_new_session=True,
        )  # fmt: skip
        return asked.returncode == 0 and asked.stdout.strip().endswith("root")


def make_empty_card(folder: Path) -> Path:
    """A card of SoftHSM without certificates."""
    tokens = folder / "empty"
    tokens.mkdir()
    (folder / "softhsm.conf").write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\n")
    command = ["softhsm2-util", "--init-token", "--free", "--label", "card", "--pin", PIN, "--so-pin", PIN]
    environment = {**os.environ, "SOFTHSM2_CONF": str(folder / "softhsm.conf")}
    subprocess.run(command, env=environment, capture_output=True, check=True)
    return tokens
