"""SSSD's settings, ``50-sra-pairing.conf``, made from the pairings and the certificate policy. No I/O.

SSSD finds a local account by rules over names in a certificate (sss-certmap(5)); no rule can ask for a digest or a key.
So it gets rules only under a policy that requires authorities, only for certificates that one of them vouches for, and
it trusts only those authorities: a name that a card's owner wrote himself decides nothing. Where the paired key is
enough, SSSD gets no settings at all.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

_HEAD = "# Made from /etc/sra/pairings.toml by “sra pair” and srad; whatever is changed here is lost.\n"
DOMAIN = "local"
"""SSSD's domain of the machine's own accounts."""
MAX_NAMES = 1024
"""Characters of an issuer and a subject together: SSSD's database stores only rules of a few KiB."""

_SHORT_NAMES: dict[ObjectIdentifier, str] = {
    NameOID.EMAIL_ADDRESS: "E",
    NameOID.GIVEN_NAME: "givenName",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.SURNAME: "SN",
    NameOID.TITLE: "title",
}
"""SSSD 2.8's names of attributes that have no short name in RFC 4514."""
_PURPOSES: dict[ObjectIdentifier, str] = {
    ExtendedKeyUsageOID.CLIENT_AUTH: "<EKU>clientAuth",
    ExtendedKeyUsageOID.SMARTCARD_LOGON: "<EKU>msScLogin",
}
"""The purposes of certificates for logins: a rule requires the first one that its certificate has."""
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
"""An account's name without a special meaning in a rule; the machine's own accounts have such names."""
_RULE_SIGNS = frozenset("<>")
"""They begin another part of a rule wherever they occur; SSSD then accepts no rule at all."""
_SPECIAL = frozenset(".[](){}*+?$|\\")
_LITERAL = {"^": "\\^"}
"""In brackets ``^`` would mean: any other character."""

log = logging.getLogger("sra.logins")


@dataclass(frozen=True)
class SssdSettings:
    """``verification``: SSSD's certificate_verification; ``trusted``: the file of what it trusts."""

    verification: str
    trusted: str
    services: tuple[str, ...]


def text_of(settings: SssdSettings, accounts: Mapping[bytes, str]) -> bytes:
    """The file for these certificates (DER), which an authority vouches for, and their accounts."""
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
    for rule, account in sorted(_rules(accounts)):
        name = hashlib.sha256(rule.encode()).hexdigest()[:16]
        lines += ["", f"[certmap/{DOMAIN}/sra-{name}]", f"matchrule = {rule}", f"maprule = ({account})"]
    return (_HEAD + "".join(f"{line}\n" for line in lines)).encode()


def without(text: bytes, account: str) -> bytes:
    """The file without the account's rules.

    This reads no certificate, so nothing in a certificate can prevent the removal.
    """
    sections = text.split(b"\n\n")
    line = f"maprule = ({account})".encode()
    return b"\n\n".join(each for each in sections if line not in each.splitlines()).rstrip(b"\n") + b"\n"


def _rules(accounts: Mapping[bytes, str]) -> set[tuple[str, str]]:
    """Rules and the accounts that they open.

    One rule has one certificate's issuer *and* subject: alternatives in both would match their mixtures too. Names that
    two accounts share open neither.
    """
    rules: dict[str, set[tuple[str, str]]] = {}
    for der, account in accounts.items():
        certificate = x509.load_der_x509_certificate(der)
        names = _names(certificate)
        if names and _ACCOUNT.fullmatch(account):
            rules.setdefault(names, set()).add((f"{names}<KU>digitalSignature{_purpose(certificate)}", account))
    found: set[tuple[str, str]] = set()
    for same in rules.values():
        owners = sorted({account for _, account in same})
        if len(owners) == 1:
            found |= same
        else:
            log.warning("SSSD can't tell the cards of %s apart, so it gets no rule for them", " and ".join(owners))
    return found


def _names(certificate: x509.Certificate) -> str:
    """The part of a rule that matches this issuer and subject; empty for names that do not fit in a rule."""
    issuer, subject = (_ascii(name.rfc4514_string(_SHORT_NAMES)) for name in (certificate.issuer, certificate.subject))
    names = issuer + subject
    if not (issuer and subject and names.isprintable() and len(names) <= MAX_NAMES) or _RULE_SIGNS & set(names):
        return ""
    return f"&&<ISSUER>^{_exactly(issuer)}$<SUBJECT>^{_exactly(subject)}$"


def _purpose(certificate: x509.Certificate) -> str:
    """The part of a rule that excludes a certificate of the same names for another purpose."""
    try:
        found = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return ""
    return next((part for usage, part in _PURPOSES.items() if usage in found), "")


def _ascii(name: str) -> str:
    """The name with each byte of a character outside ASCII in hexadecimal (RFC 4514, 2.4), as SSSD writes it."""
    return "".join(each if each.isascii() else "".join(f"\\{byte:02X}" for byte in each.encode()) for each in name)


def _exactly(name: str) -> str:
    """A regular expression (POSIX, extended) that only this name matches, without special characters of rules."""
    return "".join(_LITERAL.get(each, f"[{each}]" if each in _SPECIAL else each) for each in name)
