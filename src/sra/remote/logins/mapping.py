"""pam_pkcs11's mapping: the SHA-256 of a certificate, and the account that it opens. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

HEAD = (
    "# SHA-256 of a card's certificate -> account. Made from /etc/sra/pairings.toml and the certificates of those "
    "cards;\n# whatever is changed here is lost. Never empty: pam_pkcs11 0.6.12 crashes on a file without a line.\n"
)


def line_of(certificate: bytes, account: str) -> str:
    """The line for one certificate (DER)."""
    return f"{_digest(certificate)} -> {account}"


def text_of(accounts: Mapping[bytes, str]) -> bytes:
    """The file for these certificates (DER) and their accounts."""
    lines = sorted(line_of(certificate, account) for certificate, account in accounts.items())
    return (HEAD + "".join(f"{line}\n" for line in lines)).encode()


def accounts_in(text: str) -> frozenset[str]:
    """Every account that some card opens."""
    return frozenset(account for _, account in _pairs(text.splitlines()))


def account_of(text: str, certificate: bytes) -> str:
    """The account that a certificate (DER) opens; empty if none."""
    wanted = _digest(certificate)
    return next((account for digest, account in _pairs(text.splitlines()) if digest == wanted), "")


def _pairs(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        digest, arrow, account = line.partition(" -> ")
        if arrow and not line.startswith("#"):
            yield digest.strip(), account.strip()


def _digest(certificate: bytes) -> str:
    return hashlib.sha256(certificate).digest().hex(":").upper()
