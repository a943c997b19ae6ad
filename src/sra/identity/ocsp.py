"""OCSP (RFC 6960): a question about one certificate, and an answer that may be believed.

The issuer signs the answer itself, or a responder to which it gave a certificate for just that, and which needs no
asking about itself (id-pkix-ocsp-nocheck); any other would need an endless chain of questions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from sra.errors import RefusedError
from sra.identity.authorities import MALFORMED, Issued, extension, is_issuer, shown
from sra.identity.revocation import CLOCK_TOLERANCE, EvidenceError, Revocation
from sra.identity.signatures import Scheme, is_signed

MAX_ANSWER = 64 * 1024
"""Bytes of a response: one status and a few certificates take 2 to 6 KiB."""

NONCE_BYTES = 32
"""RFC 8954 allows 1 to 32; RFC 9654 asks for 32."""

_GOOD, _REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED


@dataclass(frozen=True)
class OcspAnswer:
    """What a responder has signed about one certificate: good, or revoked. ``fresh_until``: its nextUpdate, or less."""

    issued: Issued
    this_update: datetime
    fresh_until: datetime
    revocation: Revocation | None

    @property
    def source(self) -> str:
        """What it is and whose."""
        return f"the answer of the OCSP responder of “{shown(self.issued.issuer.subject)}”"

    def covers(self, issued: Issued) -> bool:
        """Whether it is about this certificate."""
        return issued == self.issued

    def find(self, _: Issued) -> Revocation | None:
        """The revocation, if that was the answer."""
        return self.revocation

    def at_most_until(self, moment: datetime) -> OcspAnswer:
        """The same, believed no longer than that."""
        return replace(self, fresh_until=min(self.fresh_until, moment))


def question(issued: Issued, nonce: bytes) -> bytes:
    """The request (DER) for the status of a certificate.

    SHA-1 only names the issuer here, as every responder understands (RFC 5019, 2.1.1): nothing rests on it.
    """
    return _asking(issued).add_extension(x509.OCSPNonce(nonce), critical=False).build().public_bytes(Encoding.DER)


def _asking(issued: Issued) -> ocsp.OCSPRequestBuilder:
    return ocsp.OCSPRequestBuilder().add_certificate(issued.certificate, issued.issuer, hashes.SHA1())  # noqa: S303


def verify(data: bytes, issued: Issued, now: datetime, nonce: bytes | None, *, needs_nonce: bool) -> OcspAnswer:
    """The answer about this certificate in ``data``; raise ``EvidenceError`` if there is none to believe.

    ``nonce`` is the question's (``None`` for an answer that was kept). One that differs is never believed; one that is
    missing, only where ``needs_nonce`` is false.
    """
    if len(data) > MAX_ANSWER:
        raise EvidenceError(f"the OCSP response is longer than {MAX_ANSWER} bytes")
    try:
        response = _readable(data)
        _check_signature(response, issued.issuer, now)
        if nonce is not None:
            _check_nonce(response, nonce, needs_nonce=needs_nonce)
        return _answer(response, issued)
    except (*MALFORMED, RefusedError) as error:
        raise EvidenceError("the OCSP response can't be read") from error


def _readable(data: bytes) -> ocsp.OCSPResponse:
    """A response that says something, and nothing critical that is unknown."""
    response = ocsp.load_der_ocsp_response(data)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        status = response.response_status.name.lower().replace("_", " ")
        raise EvidenceError(f"the OCSP responder doesn't answer: {status}")
    if any(each.critical and not isinstance(each.value, x509.OCSPNonce) for each in response.extensions):
        raise EvidenceError("the OCSP response has a critical extension that is unknown")
    return response


def _check_signature(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> None:
    signers = [each for each in (issuer, *response.certificates) if _is_named(response, each)]
    if not signers:
        raise EvidenceError("the OCSP response names a responder whose certificate isn't with it")
    signer = signers[0]
    scheme, digest = _SCHEMES.get(response.signature_algorithm_oid), response.signature_hash_algorithm
    if not is_signed(response.tbs_response_bytes, response.signature, scheme, digest, signer):
        raise EvidenceError("the OCSP response's signature is wrong")
    if signer != issuer:
        _check_responder(signer, issuer, now)


def _is_named(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    """Whether the response names this certificate as its signer (RFC 6960, 4.2.2.3: by its name or its key's SHA-1)."""
    if response.responder_name is not None:
        return response.responder_name == signer.subject
    return response.responder_key_hash == _key_hash(signer)


def _check_responder(signer: x509.Certificate, issuer: x509.Certificate, now: datetime) -> None:
    """RFC 6960, 4.2.2.2: authorised by the issuer itself, for this purpose, now."""
    usages = extension(signer, x509.ExtendedKeyUsage)
    if not is_issuer(issuer, signer) or usages is None or ExtendedKeyUsageOID.OCSP_SIGNING not in usages:
        raise EvidenceError(
            f"the OCSP responder “{shown(signer.subject)}” isn't authorised by the certificate's issuer"
        )
    if not signer.not_valid_before_utc <= now <= signer.not_valid_after_utc:
        raise EvidenceError(f"the certificate of the OCSP responder “{shown(signer.subject)}” is out of its dates")
    if extension(signer, x509.OCSPNoCheck) is None:
        raise EvidenceError(f"the OCSP responder “{shown(signer.subject)}” could itself be revoked, which is not asked")


def _check_nonce(response: ocsp.OCSPResponse, nonce: bytes, *, needs_nonce: bool) -> None:
    found = next((each.value.nonce for each in response.extensions if isinstance(each.value, x509.OCSPNonce)), None)
    if found is None and needs_nonce:
        raise EvidenceError("the OCSP response has no nonce, so it could be an old one")
    if found is not None and found != nonce:
        raise EvidenceError("the OCSP response answers another question (nonce)")


def _answer(response: ocsp.OCSPResponse, issued: Issued) -> OcspAnswer:
    single = next((each for each in response.responses if _is_about(each, issued)), None)
    if single is None:
        raise EvidenceError("the OCSP response is about another certificate")
    if single.certificate_status not in {_GOOD, _REVOKED}:
        raise EvidenceError(f"the OCSP responder of “{shown(issued.issuer.subject)}” doesn't know the certificate")
    since = single.revocation_time_utc
    revocation = None if since is None else Revocation(since, single.revocation_reason)
    # Without a nextUpdate there may be a newer answer at any time (4.2.2.1): it counts for now only.
    until = single.next_update_utc or single.this_update_utc + CLOCK_TOLERANCE
    return OcspAnswer(issued, single.this_update_utc, until, revocation)


def _is_about(single: ocsp.OCSPSingleResponse, issued: Issued) -> bool:
    """Whether the response's CertID is the certificate's (4.1.1), under the hash that was asked with."""
    asked = _asking(issued).build()
    return (
        isinstance(single.hash_algorithm, hashes.SHA1)
        and single.serial_number == asked.serial_number
        and single.issuer_name_hash == asked.issuer_name_hash
        and single.issuer_key_hash == asked.issuer_key_hash
    )


def _key_hash(certificate: x509.Certificate) -> bytes:
    """The SHA-1 of the key's bits (the contents of the BIT STRING)."""
    return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest


_SCHEMES: dict[x509.ObjectIdentifier, Scheme] = {
    SignatureAlgorithmOID.RSA_WITH_SHA256: padding.PKCS1v15(),
    SignatureAlgorithmOID.RSA_WITH_SHA384: padding.PKCS1v15(),
    SignatureAlgorithmOID.RSA_WITH_SHA512: padding.PKCS1v15(),
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: ec.ECDSA(hashes.SHA256()),
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: ec.ECDSA(hashes.SHA384()),
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: ec.ECDSA(hashes.SHA512()),
}
"""The library tells an RSA-PSS signature's parameters of lists, but not of OCSP responses."""
