"""Paths from a certificate to a trust anchor, and the rules that each has to keep (RFC 5280, section 6.1).

The rules, policies and name constraints among them, are the work of ``pyhanko_certvalidator``, which is given one path
after the other and never fetches anything. The paths are found here: its own search has no bound, and takes the renewed
certificate of an anchor for the same one as before (docs/decisions/0023-paths-by-a-library.md).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sra.errors import SraError
from sra.identity.x509_reading import MALFORMED, comparable, extension_among, has_signed

if TYPE_CHECKING:
    from asn1crypto import x509 as asn1
    from pyhanko_certvalidator.authority import CertTrustAnchor
    from pyhanko_certvalidator.context import ValidationContext
    from pyhanko_certvalidator.name_trees import PKIXSubtrees
    from pyhanko_certvalidator.policy_decl import PKIXValidationParams

ANY_POLICY = "2.5.29.32.0"

MAX_DEPTH = 8
"""Authorities between a card and its anchor: the US federal bridge, the deepest in the field, has 4."""

MAX_STEPS = 1000
"""Certificates that one search looks at: where authorities all certify each other, there is no end of ways."""

MAX_KEPT = 1024
"""Paths that were found valid, of some 3 KiB: one for each card that comes often."""

_UNREADABLE = (*MALFORMED, IndexError, AttributeError, NotImplementedError, AssertionError, RecursionError)
"""What the path library raises, beside its own errors, for a certificate that it can't make sense of."""

CertificatePath = tuple[x509.Certificate, ...]
"""From the card's certificate to the anchor: at least two."""

_T = TypeVar("_T")


class PathError(SraError):
    """The path breaks a rule; says which, in the library's words. ``lacks_policy``: nothing but a policy is missing."""

    def __init__(self, text: str, *, lacks_policy: bool = False) -> None:
        super().__init__(text)
        self.lacks_policy = lacks_policy


@dataclass(frozen=True)
class ValidPath:
    """A path that keeps every rule, and the policies (dotted) under which it does, in the words of its anchor."""

    certificates: CertificatePath
    policies: frozenset[str]


class PathFinder:
    """Finds paths among these authorities, and judges them."""

    def __init__(self, anchors: Sequence[x509.Certificate], intermediates: Sequence[x509.Certificate]) -> None:
        import pyhanko_certvalidator.validate  # noqa: F401, PLC0415 - 0.1 s: where authorities are read, not at a login

        self._anchors = frozenset(anchors)
        self._by_name: dict[str, list[x509.Certificate]] = {}
        self._issuers: dict[x509.Certificate, tuple[x509.Certificate, ...]] = {}
        self._valid: OrderedDict[tuple[CertificatePath, frozenset[str]], ValidPath] = OrderedDict()
        self._parsed: dict[x509.Certificate, asn1.Certificate] = {}
        for each in (*anchors, *intermediates):
            self._by_name.setdefault(comparable(each.subject), []).append(each)

    def named(self, name: x509.Name) -> Sequence[x509.Certificate]:
        """The authorities' certificates of this name."""
        return self.named_alike(comparable(name))

    def named_alike(self, name: str) -> Sequence[x509.Certificate]:
        """The same for a name that is comparable already."""
        return self._by_name.get(name, ())

    def issuers(self, certificate: x509.Certificate) -> tuple[x509.Certificate, ...]:
        """Those whose name and key have signed the certificate, anchors first."""
        known = self._issuers.get(certificate)
        if known is None:
            known = tuple(each for each in self.named(certificate.issuer) if has_issued(each, certificate))
            if certificate in self.named(certificate.subject):  # what strangers bring is not kept
                self._issuers[certificate] = known
        return known

    def paths(self, certificate: x509.Certificate) -> Iterator[CertificatePath]:
        """Every way from the certificate to an anchor by names and signatures, the shortest first; nothing is judged.

        No name and key is passed twice, and at most ``MAX_STEPS`` certificates are looked at.
        """
        ways: deque[CertificatePath] = deque([(certificate,)])
        steps = 0
        while ways:
            way = ways.popleft()
            passed = {self._entity(each) for each in way[1:]}
            for issuer in self.issuers(way[-1]):
                steps += 1
                if steps > MAX_STEPS:
                    return
                if issuer in self._anchors:
                    yield (*way, issuer)
                elif len(way) <= MAX_DEPTH and self._entity(issuer) not in passed:
                    ways.append((*way, issuer))

    def check(self, path: CertificatePath, now: datetime, wanted: frozenset[str] = frozenset()) -> ValidPath:
        """The path, if it keeps every rule now, and one of the policies that are ``wanted``, if any is.

        Raises ``PathError``. Nothing but the dates of a path that was valid can end that, so it is not judged anew.
        """
        if not all(each.not_valid_before_utc <= now <= each.not_valid_after_utc for each in path):
            raise PathError("a certificate is out of its dates")
        key = (path, wanted)
        valid = self._valid.get(key)
        if valid is None:
            valid = self._judge(path, now, wanted)
            while len(self._valid) >= MAX_KEPT:
                self._valid.popitem(last=False)
            self._valid[key] = valid
        return valid

    def _judge(self, path: CertificatePath, now: datetime, wanted: frozenset[str]) -> ValidPath:
        from pyhanko_certvalidator import errors, validate  # noqa: PLC0415 - see _context
        from pyhanko_certvalidator.path import ValidationPath  # noqa: PLC0415

        try:
            anchor = self._anchor(path[-1], len(path))
            parameters = self._parameters(path[-1], wanted)
            leaf, *above = [self._parse(each) for each in path[:-1]]
            for each in (leaf, *above):
                # RFC 5280, 4.1.1.2: the algorithm outside the signed part has to be the one inside.
                if each["signature_algorithm"].dump() != each["tbs_certificate"]["signature"].dump():
                    raise PathError("a certificate names two different signature algorithms")
            for each in above:
                _check_constraints(each)
            judged = ValidationPath(anchor, above[::-1], leaf)
            _finished(validate.async_validate_path(_context(now), judged, parameters))
            found = judged.qualified_policies() or frozenset()
        except errors.ValidationError as error:
            text = str(error)
            said = text.removeprefix("The path could not be validated because ").strip().rstrip(".")
            raise PathError(said, lacks_policy="no valid set of policies" in text) from error
        except _UNREADABLE as error:
            raise PathError(f"it can't be judged ({type(error).__name__})") from error
        policies = (each.user_domain_policy_id for each in found)
        return ValidPath(path, frozenset(ANY_POLICY if each == "any_policy" else each for each in policies))

    def _parse(self, certificate: x509.Certificate) -> asn1.Certificate:
        from asn1crypto import x509 as asn1  # noqa: PLC0415 - see names

        known = self._parsed.get(certificate)
        if known is None:
            known = asn1.Certificate.load(certificate.public_bytes(Encoding.DER), strict=True)
            if certificate in self.named(certificate.subject):
                self._parsed[certificate] = known
        return known

    def _entity(self, certificate: x509.Certificate) -> tuple[str, bytes]:
        """Name and key: certificates that have both in common are of one authority."""
        return comparable(certificate.subject), self._parse(certificate).public_key.dump()

    def _anchor(self, certificate: x509.Certificate, length: int) -> CertTrustAnchor:
        """An anchor's own limits hold as well, as in OpenSSL (RFC 5937)."""
        from pyhanko_certvalidator.authority import CertTrustAnchor, TrustQualifiers  # noqa: PLC0415 - see _context
        from pyhanko_certvalidator.validate import SUPPORTED_EXTENSIONS  # noqa: PLC0415

        parsed = self._parse(certificate)
        if parsed.key_usage_value is not None and "key_cert_sign" not in parsed.key_usage_value.native:
            raise PathError("the trusted authority is not allowed to sign certificates (keyCertSign)")
        if parsed.critical_extensions - SUPPORTED_EXTENSIONS:
            raise PathError("the trusted authority has a critical extension that is unknown")
        _check_constraints(parsed)
        depth = length if parsed.max_path_length is None else parsed.max_path_length
        return CertTrustAnchor(parsed, TrustQualifiers(max_path_length=depth, max_aa_path_length=depth))

    def _parameters(self, anchor: x509.Certificate, wanted: frozenset[str]) -> PKIXValidationParams:
        from pyhanko_certvalidator import name_trees  # noqa: PLC0415 - see _context
        from pyhanko_certvalidator.policy_decl import PKIXValidationParams  # noqa: PLC0415

        permitted, excluded = name_trees.default_permitted_subtrees(), name_trees.default_excluded_subtrees()
        constraints = self._parse(anchor).name_constraints_value
        permitted.update(_subtrees(constraints, "permitted_subtrees"))
        excluded.update(_subtrees(constraints, "excluded_subtrees"))
        return PKIXValidationParams(
            user_initial_policy_set=frozenset(
                "any_policy" if each == ANY_POLICY else each for each in wanted or {ANY_POLICY}
            ),
            initial_explicit_policy=bool(wanted),
            initial_permitted_subtrees=permitted,
            initial_excluded_subtrees=excluded,
        )


def has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether the one's name and key have signed the other, by whatever algorithm: the path's rules look at that.

    A certificate that says another key or certificate has signed it (authority key identifier) is taken at its word, as
    OpenSSL does.
    """
    try:
        return (
            comparable(issuer.subject) == comparable(certificate.issuer)
            and _is_identified(issuer, certificate)
            and has_signed(issuer, certificate)
        )
    except MALFORMED:
        return False


def _is_identified(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    said = extension_among(certificate.extensions, x509.AuthorityKeyIdentifier)
    own = extension_among(issuer.extensions, x509.SubjectKeyIdentifier)
    if said is None:
        return True
    if said.key_identifier is not None and own is not None and said.key_identifier != own.key_identifier:
        return False
    return said.authority_cert_serial_number in {None, issuer.serial_number}


def _context(now: datetime) -> ValidationContext:
    """Nothing is fetched, and revocation is judged elsewhere: the library's own search of a list is linear.

    The library is imported when the first authorities are read: that takes 0.1 s, and many commands need none.
    """
    from pyhanko_certvalidator import policy_decl  # noqa: PLC0415
    from pyhanko_certvalidator.context import ValidationContext  # noqa: PLC0415
    from pyhanko_certvalidator.registry import CertificateRegistry, SimpleTrustManager  # noqa: PLC0415

    nothing = policy_decl.RevocationCheckingRule.NO_CHECK
    return ValidationContext(
        moment=now,
        allow_fetching=False,
        revinfo_policy=policy_decl.CertRevTrustPolicy(policy_decl.RevocationCheckingPolicy(nothing, nothing)),
        time_tolerance=timedelta(0),
        certificate_registry=CertificateRegistry(),
        trust_manager=SimpleTrustManager.build([]),
    )


def _finished(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that waits for nothing, since it fetches nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    finally:
        work.close()
    raise PathError("it can't be judged without asking the network")


def _check_constraints(authority: asn1.Certificate) -> None:
    """Refuse DNS names in a form that RFC 5280, 4.2.1.10, does not have: readers disagree on what they exclude."""
    for field in ("permitted_subtrees", "excluded_subtrees"):
        for subtree in (authority.name_constraints_value or {field: ()})[field] or ():
            base = subtree["base"]
            if base.name == "dns_name" and (not base.native or base.native.startswith(".")):
                raise PathError("an authority's constraint on DNS names is not in the form of RFC 5280")


def _subtrees(constraints: asn1.NameConstraints | None, field: str) -> PKIXSubtrees:
    from pyhanko_certvalidator import name_trees  # noqa: PLC0415 - see _context

    found = None if constraints is None else constraints[field]
    return name_trees.process_general_subtrees(found) if found else {}
