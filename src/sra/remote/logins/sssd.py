"""SSSD's part: ``50-sra-pairing.conf``, true to the pairings and the certificate policy. No I/O.

SSSD finds a local account by rules over names in a certificate, not by its digest. So a rule has the issuer and the
subject, both whole; and where the paired key is enough, the paired certificates are all that SSSD trusts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

_HEAD = "# Made from /etc/sra/pairings.toml by “sra pair” and srad; whatever is changed here is lost.\n"
DOMAIN = "local"
"""SSSD's domain of the machine's own accounts."""

_SHORT_NAMES: dict[ObjectIdentifier, str] = {
    NameOID.EMAIL_ADDRESS: "E",
    NameOID.GIVEN_NAME: "givenName",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.SURNAME: "SN",
    NameOID.TITLE: "title",
}
"""What SSSD 2.8 calls attributes that RFC 4514 has no short name for."""
_RULE_SIGNS = frozenset("<>")
"""They begin another part of a rule, wherever they stand; SSSD then takes no rule at all."""
_SPECIAL = frozenset(".[](){}*+?$|\\")
_LITERAL = {"^": "\\^"}
"""In brackets it would mean: any other sign."""


@dataclass(frozen=True)
class SssdSettings:
    """``verification``: SSSD's certificate_verification; ``trusted``: the file of what it trusts."""

    verification: str
    trusted: str
    services: tuple[str, ...]


def text_of(settings: SssdSettings, accounts: Mapping[bytes, str]) -> bytes:
    """The file for these certificates (DER) and their accounts."""
    allowed = ", ".join(f"+{name}" for name in settings.services)
    lines = [
        "[sssd]",
        f"certificate_verification = {settings.verification}",
        "",
        "[pam]",
        "pam_cert_auth = True",
        f"pam_cert_db_path = {settings.trusted}",
        *([f"pam_p11_allowed_services = {allowed}"] if allowed else []),
    ]
    for account in sorted(set(accounts.values())):
        names = [_names(der) for der, name in accounts.items() if name == account]
        if rule := _rule([found for found in names if found]):
            lines += ["", f"[certmap/{DOMAIN}/{account}]", f"matchrule = {rule}"]
    return (_HEAD + "".join(f"{line}\n" for line in lines)).encode()


def trusted_file(accounts: Mapping[bytes, str]) -> bytes:
    """The certificates themselves, in PEM, where they are all that is trusted."""
    certificates = (x509.load_der_x509_certificate(der) for der in sorted(accounts))
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def _names(certificate: bytes) -> tuple[str, str] | None:
    """Issuer and subject as SSSD writes them; ``None`` for what does not fit in a rule."""
    found = x509.load_der_x509_certificate(certificate)
    issuer, subject = (_ascii(name.rfc4514_string(_SHORT_NAMES)) for name in (found.issuer, found.subject))
    fits = (issuer + subject).isprintable() and _RULE_SIGNS.isdisjoint(issuer + subject)
    return (issuer, subject) if subject and fits else None


def _ascii(name: str) -> str:
    """Other signs than those of ASCII as SSSD has them: each byte of UTF-8 in hexadecimal (RFC 4514, 2.4)."""
    return "".join(each if each.isascii() else "".join(f"\\{byte:02X}" for byte in each.encode()) for each in name)


def _rule(names: Sequence[tuple[str, str]]) -> str:
    """One rule for all cards of an account, since its name is the account's; empty for none."""
    if not names:
        return ""
    issuers, subjects = ("|".join(sorted({_exactly(each) for each in column})) for column in zip(*names, strict=True))
    return f"&&<ISSUER>^({issuers})$<SUBJECT>^({subjects})$"


def _exactly(name: str) -> str:
    """A regular expression (POSIX, extended) that only this name matches, without a rule's own signs."""
    return "".join(_LITERAL.get(each, f"[{each}]" if each in _SPECIAL else each) for each in name)
