"""The sources of evidence about revocation: an authority's list, or its OCSP responder."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sra.identity import crl, ocsp
from sra.identity.authorities import Issued
from sra.identity.status import StatusAnswer
from sra.remote.revocation.fetch import FetchRequest, fetch


class Source(Protocol):
    """A source of evidence. Both methods block."""

    @property
    def address(self) -> str:
        """Its address."""

    @property
    def issuer(self) -> x509.Certificate:
        """The issuer whose certificates it speaks about."""

    @property
    def key(self) -> str:
        """Its name in the cache: 64 hexadecimal digits."""

    def ask(self, now: datetime, timeout: float) -> tuple[bytes, StatusAnswer]:
        """The answer, as bytes and verified; raise ``EvidenceError`` if there is none or it is not valid."""

    def verify(self, body: bytes, now: datetime) -> StatusAnswer:
        """A stored answer, verified again; raise ``EvidenceError`` if it is not valid."""


@dataclass(frozen=True)
class ListSource:
    """A CRL distribution point.

    ``issuer`` is one certificate of the authority of the list; ``others`` are those of the same name, any of whose keys
    may have signed it.
    """

    address: str
    issuer: x509.Certificate
    others: tuple[x509.Certificate, ...] = ()

    @property
    def key(self) -> str:
        """A hash of the address and the issuer."""
        return _key("crl", self.address, digest(self.issuer))

    def ask(self, now: datetime, timeout: float) -> tuple[bytes, StatusAnswer]:
        """Fetch the list."""
        body = fetch(FetchRequest(self.address, crl.MAX_LIST), timeout)
        return body, self.verify(body, now)

    def verify(self, body: bytes, _: datetime) -> StatusAnswer:
        """The list, signed by the issuer."""
        return crl.verify(body, self.issuer, *self.others)


@dataclass(frozen=True)
class ResponderSource:
    """An OCSP responder, asked about one certificate."""

    address: str
    issued: Issued
    needs_nonce: bool = True

    @property
    def issuer(self) -> x509.Certificate:
        """The issuer of the certificate."""
        return self.issued.issuer

    @property
    def key(self) -> str:
        """A hash of the address and the certificate."""
        return _key("ocsp", self.address, digest(self.issuer), digest(self.issued.certificate))

    def ask(self, now: datetime, timeout: float) -> tuple[bytes, StatusAnswer]:
        """Ask about the certificate, with a fresh nonce."""
        nonce = secrets.token_bytes(ocsp.NONCE_BYTES)
        body = ocsp.question(self.issued, nonce)
        answer = fetch(FetchRequest(self.address, ocsp.MAX_ANSWER, body, "application/ocsp-request"), timeout)
        return answer, ocsp.verify(answer, self.issued, now, nonce, needs_nonce=self.needs_nonce)

    def verify(self, body: bytes, now: datetime) -> StatusAnswer:
        """The answer, signed by the issuer or its responder; the question's nonce is no longer known."""
        return ocsp.verify(body, self.issued, now, None, needs_nonce=False)


def digest(certificate: x509.Certificate) -> str:
    """The SHA-256 of a certificate, in hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
