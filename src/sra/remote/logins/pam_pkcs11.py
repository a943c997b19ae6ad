"""pam_pkcs11's files: its settings, made from the certificate policy, and its mapping of cards to accounts. No I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sra.remote.logins.stacks import is_untouched, mark_of

HEAD = "Written by “sra pam enable” and “sra pair”; removed by “sra pam disable”."

MAPPING_HEAD = (
    "# SHA-256 of a card's certificate -> account. Made from /etc/sra/pairings.toml and the certificates of those "
    "cards;\n# whatever is changed here is lost. Never empty: pam_pkcs11 0.6.12 crashes on a file without a line.\n"
)

_SETTINGS = """\
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
_ARROW = " -> "


@dataclass(frozen=True)
class Pkcs11Settings:
    """The settings: the PKCS #11 module, the folder of authorities and lists, and the file of the mapping.

    ``policy`` is the value of ``cert_policy``; it has to contain ``signature``.
    """

    module: str
    trust: str
    mapping: str
    policy: str

    def __post_init__(self) -> None:
        """Refuse a policy under which a copy of a certificate would do in place of a card."""
        if "signature" not in self.policy.split(","):
            raise ValueError(f"cert_policy “{self.policy}” has no signature")

    @property
    def text(self) -> str:
        """The whole file; its first line is a comment with a mark of the rest."""
        values = {"module": self.module, "trust": self.trust, "mapping": self.mapping, "policy": self.policy}
        text = _SETTINGS.format(**values)
        return f"# {HEAD} {mark_of(text.splitlines())}\n{text}"


def is_ours(text: str) -> bool:
    """Whether these settings were written by this product; they may have been edited since."""
    return text.startswith(f"# {HEAD} ")


def is_as_written(text: str) -> bool:
    """Whether these settings were written by this product and not edited since."""
    mark, _, rest = text.partition("\n")
    return is_ours(text) and is_untouched(mark, rest.splitlines())


def is_edited(text: str) -> bool:
    """Whether these settings were written by this product and edited since."""
    return is_ours(text) and not is_as_written(text)


def modules_in(text: str) -> frozenset[str]:
    """Every library that these settings name: PKCS #11 modules, and mappers that are not built in."""
    return frozenset(match["path"] for match in _MODULE.finditer(text))


def mapping_of(accounts: Mapping[bytes, str]) -> bytes:
    """The mapping for these certificates (DER) and their accounts.

    An account of a directory gets no line if its name could be taken for another line, or for a part of one.
    """
    return _mapping(
        sorted(
            f"{_digest(certificate)}{_ARROW}{account}"
            for certificate, account in accounts.items()
            if account and account.isprintable() and account == account.strip() and _ARROW.strip() not in account
        )
    )


def mapping_without(text: str, account: str) -> bytes:
    """The mapping without the account's lines.

    This reads no certificate, so nothing in a certificate can prevent the removal.
    """
    return _mapping(f"{digest}{_ARROW}{name}" for digest, name in _pairs(text) if name != account)


def mapped_accounts(text: str) -> frozenset[str]:
    """Every account in the mapping."""
    return frozenset(account for _, account in _pairs(text))


def mapped_account(text: str, certificate: bytes) -> str:
    """The account that a certificate (DER) opens by the mapping; empty if none."""
    wanted = _digest(certificate)
    return next((account for digest, account in _pairs(text) if digest == wanted), "")


def _mapping(lines: Iterable[str]) -> bytes:
    return (MAPPING_HEAD + "".join(f"{line}\n" for line in lines)).encode()


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        digest, arrow, account = line.partition(_ARROW)
        if arrow and not line.startswith("#"):
            yield digest.strip(), account.strip()


def _digest(certificate: bytes) -> str:
    return hashlib.sha256(certificate).digest().hex(":").upper()
