"""The authorities that a remote trusts, and the path from a card's certificate to one of them (RFC 5280, section 6).

The rules of a path are judged in ``certificate_paths``; which authority counts and why there is no path is said here.
"""

from __future__ import annotations

import base64
import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sra.errors import RefusalCode, RefusedError
from sra.identity.certificate_paths import (
    MAX_DEPTH,
    CertificatePath,
    PathError,
    PathFinder,
    ValidPath,
)
from sra.identity.certificates import CardCertificate
from sra.identity.x509_reading import day, extension, has_signed, is_same, is_same_key, public_bytes, readable, shown
from sra.logs import clean

MAX_PATHS = 32
"""That are judged for one certificate, at some milliseconds each."""

_PEM = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----(.*?)-----END", re.DOTALL)


@dataclass(frozen=True)
class Issued:
    """A certificate of a path, and the one whose key signed it."""

    certificate: x509.Certificate
    issuer: x509.Certificate


@dataclass(frozen=True)
class Authorities:
    """Certificates of authorities: the self-signed ones are the anchors, the others may be on the way to them."""

    anchors: tuple[x509.Certificate, ...] = ()
    intermediates: tuple[x509.Certificate, ...] = ()

    @property
    def all(self) -> tuple[x509.Certificate, ...]:
        """Anchors first."""
        return self.anchors + self.intermediates

    def path(self, card: CardCertificate, now: datetime, wanted: frozenset[str] = frozenset()) -> ValidPath:
        """The best of ``paths``."""
        return next(self.paths(card, now, wanted))

    def paths(self, card: CardCertificate, now: datetime, wanted: frozenset[str] = frozenset()) -> Iterator[ValidPath]:
        """The valid paths from the card's certificate to an anchor, the shortest first, at least one.

        ``wanted``: dotted policies, one of which has to be valid on the path. Raises ``RefusedError`` that says why
        there is no path; of several reasons the one that is nearest to success.
        """
        leaf = _parsed(card.der)
        if not self.anchors:
            raise _untrusted("This remote trusts no authority yet. As root, put its certificate into etc/sra/trust.")
        if leaf in self.anchors:
            raise _untrusted("The card's certificate is an authority's own; a card's has to be issued by one.")
        refusals: list[RefusedError] = []
        found = False
        for path in itertools.islice(self.finder.paths(leaf), MAX_PATHS):
            try:
                valid = self._judged(path, now, wanted)
            except RefusedError as refusal:
                refusals.append(refusal)
                continue
            found = True
            yield valid
        if not found:
            raise min(refusals, key=lambda each: _NEARNESS[each.code], default=self._why_no_path(leaf, now))

    def leads(self, certificate: x509.Certificate, anchor: x509.Certificate, now: datetime) -> bool:
        """Whether a valid path leads from an authority's certificate to this anchor, or is the anchor itself."""
        if certificate == anchor:
            return True
        for path in itertools.islice(self.finder.paths(certificate), MAX_PATHS):
            try:
                self._judged(path, now, frozenset())
            except RefusedError:
                continue
            if is_same_key(path[-1], anchor):
                return True
        return False

    @cached_property
    def finder(self) -> PathFinder:
        """What finds and judges paths among these."""
        return PathFinder(self.anchors, self.intermediates)

    def _judged(self, path: CertificatePath, now: datetime, wanted: frozenset[str]) -> ValidPath:
        for authority in reversed(path[1:]):
            if (out_of_date := _out_of_date(authority, now)) is not None:
                raise out_of_date
        try:
            return self.finder.check(path, now, wanted)
        except PathError as error:
            if not error.lacks_policy:
                text = f"The card's certificate breaks a rule of its authorities: {clean(str(error))}."
                raise _untrusted(text) from error
            if not wanted:
                text = "was issued under no policy that its authorities have in common, and one of them wants that."
                raise RefusedError(RefusalCode.USAGE, f"The card's certificate {text}") from error
            self._judged(path, now, frozenset())
            text = f"has not the policy that this remote wants: {' or '.join(sorted(wanted))}. Use another card."
            raise RefusedError(RefusalCode.USAGE, f"The card's certificate {text}") from error

    def _why_no_path(self, leaf: x509.Certificate, now: datetime) -> RefusedError:
        """Look for the first certificate on the way up that has no issuer here, or is out of its dates."""
        certificate, seen = leaf, [leaf]
        while certificate not in self.anchors and len(seen) <= MAX_DEPTH:
            issuers = [each for each in self.finder.issuers(certificate) if each not in seen]
            if not issuers:
                break
            certificate = max(issuers, key=lambda each: each.not_valid_after_utc)
            if (out_of_date := _out_of_date(certificate, now)) is not None:
                return out_of_date
            seen.append(certificate)
        name = shown(certificate.issuer)
        if certificate is leaf and self.finder.named(leaf.issuer):
            return _untrusted(
                f"The card's certificate bears the name of the authority “{name}”, but not its signature: it was "
                "forged or damaged, or that authority has another key, whose certificate is not in etc/sra/trust there."
            )
        text = f"The card's certificate comes from “{name}”, which this remote does not know."
        return _untrusted(f"{text} If it should, put that authority's certificate into etc/sra/trust there.")


_NEARNESS = {RefusalCode.USAGE: 0, RefusalCode.UNTRUSTED: 1, RefusalCode.EXPIRED: 2}
"""Of the reasons why no path is valid, the one to tell: an expired certificate beside its new one explains nothing."""


def read_certificates(data: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates in a file, PEM (any number) or DER; raise ``RefusedError`` if one can't be read."""
    return tuple(readable(functools.partial(x509.load_der_x509_certificate, der)) for der in split(data))


def split(data: bytes) -> list[bytes]:
    """The certificates in a file, PEM (any number) or DER, each in DER but unread, so that one can't spoil the others.

    Raises ``RefusedError`` where what looks like PEM has none. What isn't base64 is left as it is: nothing reads it.
    """
    if b"-----BEGIN" not in data:
        return [data]
    found = []
    for block in _PEM.findall(data):
        try:
            found.append(base64.b64decode(b"".join(block.split()), validate=True))
        except ValueError:
            found.append(block)
    if not found:
        raise RefusedError(RefusalCode.CERTIFICATE, "This is not a certificate that can be read (X.509).")
    return found


def sort_authorities(certificates: Iterable[x509.Certificate]) -> tuple[Authorities, tuple[x509.Certificate, ...]]:
    """The authorities among these certificates, each once; and the ones that are none."""
    each = {certificate.public_bytes(Encoding.DER): certificate for certificate in certificates}
    authorities = [certificate for certificate in each.values() if _is_authority(certificate)]
    anchors = tuple(each for each in authorities if is_same(each.subject, each.issuer) and has_signed(each, each))
    found = Authorities(anchors, tuple(certificate for certificate in authorities if certificate not in anchors))
    return found, tuple(certificate for certificate in each.values() if certificate not in authorities)


def steps(path: CertificatePath) -> list[Issued]:
    """The certificates of the path below its anchor, the card's first, each with its issuer."""
    return [Issued(certificate, issuer) for certificate, issuer in itertools.pairwise(path)]


def _parsed(der: bytes) -> x509.Certificate:
    """The certificate, each of whose extensions could be read and is there once: no two readers see it differently."""
    certificate = readable(lambda: x509.load_der_x509_certificate(der))
    readable(lambda: certificate.extensions)
    return certificate


def _is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may issue certificates, and all of it can be read, so that it can't stop a search later."""
    try:
        constraints = extension(certificate, x509.BasicConstraints)
        readable(lambda: public_bytes(certificate))
    except RefusedError:
        return False
    return constraints is not None and constraints.ca


def _out_of_date(authority: x509.Certificate, now: datetime) -> RefusedError | None:
    name = shown(authority.subject)
    if now > authority.not_valid_after_utc:
        text = f"The certificate of the authority “{name}” expired on {day(authority.not_valid_after_utc)}."
        return RefusedError(RefusalCode.EXPIRED, f"{text} Put its new one into etc/sra/trust on the remote.")
    if now < authority.not_valid_before_utc:
        text = f"The certificate of the authority “{name}” is not valid before {day(authority.not_valid_before_utc)}."
        return RefusedError(RefusalCode.EXPIRED, f"{text} Check the remote's clock.")
    return None


def _untrusted(text: str) -> RefusedError:
    return RefusedError(RefusalCode.UNTRUSTED, text)
