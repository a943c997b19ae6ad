"""What a card's certificate may be used for, as its authorities say: key usage and extended key usage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography import x509

from sra.errors import RefusalCode, RefusedError
from sra.identity.authorities import extension, readable
from sra.identity.certificate_paths import ANY_POLICY, CertificatePath
from sra.identity.certificates import CardCertificate
from sra.identity.policy import CertificatePolicy

ANY_USAGE = "2.5.29.37.0"

_NAMES = {
    "1.3.6.1.5.5.7.3.2": "client authentication",
    "1.3.6.1.4.1.311.20.2.2": "smart card logon",
    "1.3.6.1.5.2.3.4": "PKINIT client",
    ANY_USAGE: "any purpose",
}

_OPENING = frozenset({"1.3.6.1.5.5.7.3.2", "1.3.6.1.4.1.311.20.2.2", ANY_USAGE})
"""A certificate that opens an account is for one of these, or says nothing: names of a web server or a program's author
were never checked as those of a person."""


def check_purpose(card: CardCertificate, policy: CertificatePolicy) -> str:
    """Under every policy: what the certificate is for, in words; raise ``RefusedError`` if it isn't to open accounts.

    ``USAGE``, or ``CERTIFICATE`` where its extensions can't be read.
    """
    leaf = readable(lambda: x509.load_der_x509_certificate(card.der))
    own = _usages(leaf)
    if own is not None and not own & _OPENING:
        raise _refused(
            "is for another purpose (extended key usage), neither for client authentication nor for smart card logon. "
            "Use another card."
        )
    _check_extended(own, [], policy.extended_key_usages)
    return "for " + " and ".join(sorted(_NAMES.get(each, each) for each in own)) if own else "for any purpose"


def check_usage(path: CertificatePath, policy: CertificatePolicy) -> None:
    """Raise ``RefusedError`` (``USAGE``) unless the path's certificate, and its authorities, are for what is wanted.

    Key usage has to include digitalSignature where there is one (RFC 5280, 4.2.1.3).
    """
    leaf, authorities = path[0], path[1:-1]
    usage = extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise _refused("is not meant for signatures (key usage), so it can't authenticate anybody.")
    _check_extended(_usages(leaf), authorities, policy.extended_key_usages)


def listed(policies: frozenset[str]) -> str:
    """Policies, in words."""
    return "any" if ANY_POLICY in policies else ", ".join(sorted(policies)) or "none"


def _check_extended(own: frozenset[str] | None, authorities: Sequence[x509.Certificate], wanted: Iterable[str]) -> None:
    """Every usage that is wanted has to be in the certificate; an authority that is limited has to allow it."""
    limits = [_usages(authority) for authority in authorities]
    for usage in sorted(wanted):
        name = _NAMES.get(usage, usage)
        if usage not in (own or ()):
            raise _refused(f"is not meant for {name} (extended key usage), which this remote wants. Use another card.")
        if any(limit is not None and not {usage, ANY_USAGE} & limit for limit in limits):
            raise _refused(f"comes from an authority that may not issue for {name} (extended key usage).")


def _usages(certificate: x509.Certificate) -> frozenset[str] | None:
    found = extension(certificate, x509.ExtendedKeyUsage)
    return None if found is None else frozenset(each.dotted_string for each in found)


def _refused(text: str) -> RefusedError:
    return RefusedError(RefusalCode.USAGE, f"The card's certificate {text}")
