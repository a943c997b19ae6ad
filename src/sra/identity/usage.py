"""What a card's certificate may be used for, as its authorities say: key usage, extended key usage, policies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography import x509

from sra.errors import RefusalCode, RefusedError
from sra.identity.authorities import Path, extension
from sra.identity.policy import CertificatePolicy

ANY_POLICY = "2.5.29.32.0"
ANY_USAGE = "2.5.29.37.0"

_NAMES = {
    "1.3.6.1.5.5.7.3.2": "client authentication",
    "1.3.6.1.4.1.311.20.2.2": "smart card logon",
    "1.3.6.1.5.2.3.4": "PKINIT client",
}


def check_usage(path: Path, policy: CertificatePolicy) -> str:
    """What the path's certificate may be used for, in words; raise ``RefusedError`` (``USAGE``) if that isn't enough.

    Key usage has to include digitalSignature where there is one (RFC 5280, 4.2.1.3).
    """
    leaf, authorities = path[0], path[1:-1]
    usage = extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise _refused("is not meant for signatures (key usage), so it can't authenticate anybody.")
    _check_extended(leaf, authorities, policy.extended_key_usages)
    valid = valid_policies(path)
    if policy.policies and valid is not None and not policy.policies & valid:
        wanted = " or ".join(sorted(policy.policies))
        raise _refused(f"has not the policy that this remote wants: {wanted}. Use another card.")
    return f"policies: {_listed(valid)}"


def valid_policies(path: Path) -> frozenset[str] | None:
    """The policies under which every certificate below the anchor was issued; ``None`` stands for any.

    RFC 5280, 6.1, without mappings, and stricter in one point: ``requireExplicitPolicy`` and ``inhibitAnyPolicy`` count
    at once, not after so many certificates. Raises ``RefusedError`` (``USAGE``) if an authority wants a policy and none
    is left.
    """
    valid: frozenset[str] | None = None
    is_any_allowed, is_explicit = True, False
    for certificate in reversed(path[:-1]):
        valid = _narrowed(valid, _policies(certificate), is_any_allowed=is_any_allowed)
        is_any_allowed &= extension(certificate, x509.InhibitAnyPolicy) is None
        constraints = extension(certificate, x509.PolicyConstraints)
        is_explicit |= constraints is not None and constraints.require_explicit_policy is not None
    if is_explicit and valid == frozenset():
        raise _refused("was issued under no policy that its authorities have in common, and one of them wants that.")
    return valid


def _narrowed(valid: frozenset[str] | None, own: frozenset[str], *, is_any_allowed: bool) -> frozenset[str] | None:
    if ANY_POLICY in own and is_any_allowed:
        return valid
    named = own - {ANY_POLICY}
    return named if valid is None else valid & named


def _policies(certificate: x509.Certificate) -> frozenset[str]:
    found = extension(certificate, x509.CertificatePolicies)
    return frozenset(each.policy_identifier.dotted_string for each in found or ())


def _check_extended(leaf: x509.Certificate, authorities: Sequence[x509.Certificate], wanted: Iterable[str]) -> None:
    """Every usage that is wanted has to be in the certificate; an authority that is limited has to allow it."""
    own = _usages(leaf) or frozenset()
    limits = [_usages(authority) for authority in authorities]
    for usage in sorted(wanted):
        name = _NAMES.get(usage, usage)
        if usage not in own:
            raise _refused(f"is not meant for {name} (extended key usage), which this remote wants. Use another card.")
        if any(limit is not None and not {usage, ANY_USAGE} & limit for limit in limits):
            raise _refused(f"comes from an authority that may not issue for {name} (extended key usage).")


def _usages(certificate: x509.Certificate) -> frozenset[str] | None:
    found = extension(certificate, x509.ExtendedKeyUsage)
    return None if found is None else frozenset(each.dotted_string for each in found)


def _listed(policies: frozenset[str] | None) -> str:
    if policies is None:
        return "any"
    return ", ".join(sorted(policies)) or "none"


def _refused(text: str) -> RefusedError:
    return RefusedError(RefusalCode.USAGE, f"The card's certificate {text}")
