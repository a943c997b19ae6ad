"""Cards on a host: pcscd with the virtual readers, and a login with a card through PAM."""

from __future__ import annotations

import hashlib
import re
import ssl
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lab.processes import LabError, Process, wait_until

READER = Path(__file__).resolve().parent.parent / "reader"
DRIVER = READER / "build" / "libifdvirtualserial.so"
READER_CONFIGURATION = "/run/pcscd-configuration"


class CardHost(Protocol):
    """What is needed of a host here (``hosts.Host``)."""

    def run(self, argv: Sequence[str | Path], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""

    def start(self, argv: Sequence[str | Path], *, log: Path | None = None) -> Process:
        """Start a program."""

    def write(self, path: str | Path, text: str) -> None:
        """Write a file, with its folders."""


def start_pcscd(host: CardHost, readers: int, runtime: Path, log: Path | None) -> Process:
    """Start pcscd with ``readers`` virtual readers, and return when programs on the host see them all."""
    template = (READER / "reader.conf.in").read_text().replace("@LIBPATH@", str(DRIVER)).replace("@RUN@", str(runtime))
    host.run(["install", "-d", "--mode=0755", f"{runtime}/readers"])
    host.write(f"{READER_CONFIGURATION}/virtual-readers", first_readers(template, readers))
    pcscd = host.start(["pcscd", "--foreground", f"--config={READER_CONFIGURATION}"], log=log)
    wait_until(lambda: not pcscd.is_running or count_readers(host) == readers, f"{readers} readers in pcscd", 10)
    if not pcscd.is_running:
        raise LabError(f"pcscd ended:\n{pcscd.output}")
    return pcscd


def first_readers(template: str, count: int) -> str:
    """The first ``count`` entries of a reader.conf; each begins with its FRIENDLYNAME."""
    return "".join(re.split(r"(?m)^(?=FRIENDLYNAME)", template)[: 1 + count])


def count_readers(host: CardHost) -> int:
    """How many readers OpenSC sees on the host; it prints a line for each below two lines of heading."""
    lines = host.run(["opensc-tool", "--list-readers"], check=False).stdout.splitlines()
    return len([line for line in lines if line[:1].isdigit()])


FOLDER = "/etc/pam_pkcs11"
MODULE = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/opensc-pkcs11.so"

# The digest mapper finds the account; "signature" is the proof that the card has the key, and must never be missing.
PAM_CONFIGURATION = f"""\
pam_pkcs11 {{
    nullok = false;
    use_pkcs11_module = opensc;
    pkcs11_module opensc {{
        module = {MODULE};
        description = "OpenSC";
        slot_description = "none";
        support_threads = true;
        ca_dir = {FOLDER}/cacerts;
        crl_dir = {FOLDER}/crls;
        cert_policy = signature;
        token_type = "smart card";
    }}
    use_mappers = digest;
    mapper_search_path = /lib/pam_pkcs11;
    mapper digest {{
        module = internal;
        algorithm = "sha256";
        mapfile = file://{FOLDER}/digest_mapping;
    }}
}}
"""

SERVICE = """\
auth required pam_pkcs11.so
account required pam_unix.so
"""


def configure_pam_pkcs11(host: CardHost, service: str, account: str, certificate_pem: str) -> None:
    """Let the card with that certificate log in to ``account`` through the PAM service, and nothing else."""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate_pem)).digest()
    # pam_pkcs11 0.6.12 crashes on a mapping file without a line to skip.
    mapping = f"# certificate's SHA-256 -> account\n{digest.hex(':').upper()} -> {account}\n"
    host.write(f"{FOLDER}/pam_pkcs11.conf", PAM_CONFIGURATION)
    host.write(f"{FOLDER}/digest_mapping", mapping)
    host.write(f"/etc/pam.d/{service}", SERVICE)
