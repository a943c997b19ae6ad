"""Login with a card on a host, through PAM."""

from __future__ import annotations

import hashlib
import ssl
import sysconfig
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.hosts import Host

FOLDER = "/etc/pam_pkcs11"
MODULE = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/opensc-pkcs11.so"

# The digest mapper finds the account; "signature" is the proof that the card has the key, and must never be missing.
CONFIGURATION = f"""\
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


def configure_pam_pkcs11(host: Host, service: str, account: str, certificate_pem: str) -> None:
    """Let the card with that certificate log in to ``account`` through the PAM service, and nothing else."""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate_pem)).digest()
    # pam_pkcs11 0.6.12 crashes on a mapping file without a line to skip.
    mapping = f"# certificate's SHA-256 -> account\n{digest.hex(':').upper()} -> {account}\n"
    host.write(f"{FOLDER}/pam_pkcs11.conf", CONFIGURATION)
    host.write(f"{FOLDER}/digest_mapping", mapping)
    host.write(f"/etc/pam.d/{service}", SERVICE)
