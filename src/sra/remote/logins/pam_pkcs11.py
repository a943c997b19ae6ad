"""``pam_pkcs11.conf``, made from the certificate policy. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sra.remote.logins import marks

HEAD = "Written by “sra pam enable” and “sra pair”; removed by “sra pam disable”."

_TEXT = """\
pam_pkcs11 {{
    nullok = false;
    use_pkcs11_module = opensc;
    pkcs11_module opensc {{
        module = {module};
        description = "OpenSC";
        slot_description = "none";
        support_threads = true;
        ca_dir = {trust};
        crl_dir = {trust};
        cert_policy = {policy};
        token_type = "smart card";
    }}
    use_mappers = digest;
    mapper_search_path = /lib/pam_pkcs11;
    mapper digest {{
        module = internal;
        algorithm = "sha256";
        mapfile = file://{mapping};
    }}
}}
"""


_MODULE = re.compile(r"^\s*module\s*=\s*\"?(?P<path>/[^;\"]*?)\"?\s*;", re.MULTILINE)


def modules_in(text: str) -> frozenset[str]:
    """Every library that these settings name: PKCS #11 modules, and mappers that are not built in."""
    return frozenset(match["path"] for match in _MODULE.finditer(text))


@dataclass(frozen=True)
class Pkcs11Settings:
    """What pam_pkcs11 needs to know: the PKCS #11 module, the folder of authorities and lists, the file of the mapping.

    ``policy``: its ``cert_policy``; ``signature`` has to be in it.
    """

    module: str
    trust: str
    mapping: str
    policy: str

    def __post_init__(self) -> None:
        """Refuse a policy with which a copy of a certificate would do in place of a card."""
        if "signature" not in self.policy.split(","):
            raise ValueError(f"cert_policy “{self.policy}” has no signature")

    @property
    def text(self) -> str:
        """The whole file, marked."""
        values = {"module": self.module, "trust": self.trust, "mapping": self.mapping, "policy": self.policy}
        return marks.signed(HEAD, _TEXT.format(**values))
