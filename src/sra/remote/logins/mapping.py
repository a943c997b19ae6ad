"""pam_pkcs11's mapping: the SHA-256 of a certificate, and the account that it opens. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

HEAD = (
    "# SHA-256 of a card's certificate -> account. Made from /etc/sra/pairings.toml and the certificates of those "
    "cards;\n# whatever is changed here is lost. Never empty: pam_pkcs11 0.6.12 crashes on a file without a line.\n"
)

_ARROW = " -> "


def line_of(certificate: bytes, account: str) -> str:
    """The line for one certificate (DER)."""
    return f"{_digest(certificate)}{_ARROW}{account}"


def text_of(accounts: Mapping[bytes, str]) -> bytes:
    """The file for these certificates (DER) and their accounts.

    A directory's account whose name could be taken for another line, or for a part of one, gets none.
    """
    lines = sorted(line_of(certificate, account) for certificate, account in accounts.items() if _fits(account))
    return _file(lines)


def without(text: str, account: str) -> bytes:
    """The file without the account's lines. It reads no certificate, so nothing in one can stand in the way."""
    return _file(f"{digest}{_ARROW}{name}" for digest, name in _pairs(text.splitlines()) if name != account)


def accounts_in(text: str) -> frozenset[str]:
    """Every account that some card opens."""
    return frozenset(account for _, account in _pairs(text.splitlines()))


def account_of(text: str, certificate: bytes) -> str:
    """The account that a certificate (DER) opens; empty if none."""
    wanted = _digest(certificate)
    return next((account for digest, account in _pairs(text.splitlines()) if digest == wanted), "")


def _fits(account: str) -> bool:
    return account.isprintable() and account == account.strip() and _ARROW.strip() not in account and bool(account)


def _file(lines: Iterable[str]) -> bytes:
    return (HEAD + "".join(f"{line}\n" for line in lines)).encode()


def _pairs(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        digest, arrow, account = line.partition(_ARROW)
        if arrow and not line.startswith("#"):
            yield digest.strip(), account.strip()


def _digest(certificate: bytes) -> str:
    return hashlib.sha256(certificate).digest().hex(":").upper()
