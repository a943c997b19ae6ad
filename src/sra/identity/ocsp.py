"""OCSP (RFC 6960): a question about one certificate, and an answer that may be believed.

The issuer signs the answer itself, or a responder to which it gave a certificate for just that. Such a certificate says
that its own status needs no question (id-pkix-ocsp-nocheck), or the caller looks for it in the issuer's lists.

“Revoked” is believed of every responder that the issuer has authorised, whatever else is wrong with the answer: a stale
or replayed one, one without its nonce, one of a responder that is out of its dates or could itself be revoked. Only
“good” needs all of it to be right.
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
from sra.identity.authorities import Issued
from sra.identity.certificate_paths import has_issued
from sra.identity.revocation import CLOCK_TOLERANCE, EvidenceError, Revocation
from sra.identity.x509_reading import (
    MALFORMED,
    Scheme,
    extension,
    extension_among,
    is_same,
    is_same_key,
    is_signed,
    is_strong,
    shown,
)

MAX_ANSWER = 64 * 1024
"""Bytes of a response: one status and a few certificates take 2 to 6 KiB."""

NONCE_BYTES = 32
"""RFC 8954 allows 1 to 32; RFC 9654 asks for 32."""

MAX_SIGNERS = 8
"""Certificates in an answer whose keys are tried: one is usual."""

_GOOD, _REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED


@dataclass(frozen=True)
class OcspAnswer:
    """What a responder has signed about one certificate: good, or revoked. ``fresh_until``: its nextUpdate, or less.

    ``responder``: its certificate, where that could itself be revoked (it has no id-pkix-ocsp-nocheck).
    """

    issued: Issued
    this_update: datetime
    fresh_until: datetime
    revocation: Revocation | None
    responder: x509.Certificate | None = None

    @property
    def source(self) -> str:
        """What it is and whose."""
        return f"the answer of the OCSP responder of “{shown(self.issued.issuer.subject)}”"

    def covers(self, issued: Issued) -> bool:
        """Whether it is about this certificate."""
        return issued == self.issued

    def at_most_until(self, moment: datetime) -> OcspAnswer:
        """The same, believed no longer than that."""
        return replace(self, fresh_until=min(self.fresh_until, moment))


def question(issued: Issued, nonce: bytes) -> bytes:
    """The request (DER) for the status of a certificate.

    SHA-1 only names the issuer here, as every responder understands (RFC 5019, 2.1.1): nothing rests on it.
    """
    asking = _asking(issued, hashes.SHA1())  # noqa: S303
    return asking.add_extension(x509.OCSPNonce(nonce), critical=False).build().public_bytes(Encoding.DER)


def _asking(issued: Issued, digest: hashes.HashAlgorithm) -> ocsp.OCSPRequestBuilder:
    return ocsp.OCSPRequestBuilder().add_certificate(issued.certificate, issued.issuer, digest)


def verify(data: bytes, issued: Issued, now: datetime, nonce: bytes | None, *, needs_nonce: bool) -> OcspAnswer:
    """The answer about this certificate in ``data``; raise ``EvidenceError`` if there is none to believe.

    ``nonce`` is the question's (``None`` for an answer that was kept). One that differs is never believed; one that is
    missing, only where ``needs_nonce`` is false. For “revoked”, neither matters.
    """
    if len(data) > MAX_ANSWER:
        raise EvidenceError(f"the OCSP response is longer than {MAX_ANSWER} bytes")
    try:
        response = ocsp.load_der_ocsp_response(data)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            status = response.response_status.name.lower().replace("_", " ")
            raise EvidenceError(f"the OCSP responder doesn't answer: {status}")
        signer = _signer(response, issued.issuer)
        answer = _answer(response, issued)
        problem = _problem(response, signer, issued, now) or _wrong_nonce(response, nonce, needs_nonce=needs_nonce)
        if problem and answer.revocation is None:
            raise EvidenceError(problem)
        needs_no_check = signer == issued.issuer or extension(signer, x509.OCSPNoCheck) is not None
        return replace(answer, responder=None if needs_no_check else signer)
    except (*MALFORMED, RefusedError) as error:
        raise EvidenceError("the OCSP response can't be read") from error


def _signer(response: ocsp.OCSPResponse, issuer: x509.Certificate) -> x509.Certificate:
    """Who has signed it: the issuer, or whom it authorised for that (RFC 6960, 4.2.2.2)."""
    signers = [each for each in (issuer, *response.certificates) if _is_named(response, each)]
    if not signers:
        raise EvidenceError("the OCSP response names a responder whose certificate isn't with it")
    scheme, digest = _SCHEMES.get(response.signature_algorithm_oid), response.signature_hash_algorithm
    signed = [
        each
        for each in signers[:MAX_SIGNERS]
        if is_signed(response.tbs_response_bytes, response.signature, scheme, digest, each)
    ]
    if not signed:
        raise EvidenceError("the OCSP response's signature is wrong")
    if is_same_key(signed[0], issuer):
        return issuer
    authorised = next((each for each in signed if _is_authorised(each, issuer)), None)
    if authorised is None:
        name = shown(signed[0].subject)
        raise EvidenceError(f"the OCSP responder “{name}” isn't authorised by the certificate's issuer")
    return authorised


def _is_authorised(signer: x509.Certificate, issuer: x509.Certificate) -> bool:
    usages = extension(signer, x509.ExtendedKeyUsage)
    return has_issued(issuer, signer) and usages is not None and ExtendedKeyUsageOID.OCSP_SIGNING in usages


def _is_named(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    """Whether the response names this certificate as its signer (RFC 6960, 4.2.2.3: by its name or its key's SHA-1)."""
    if response.responder_name is not None:
        return is_same(response.responder_name, signer.subject)
    # The SHA-1 of the key's bits: the contents of the BIT STRING.
    return response.responder_key_hash == x509.SubjectKeyIdentifier.from_public_key(signer.public_key()).digest


def _problem(response: ocsp.OCSPResponse, signer: x509.Certificate, issued: Issued, now: datetime) -> str:
    """Why the answer can't say that a certificate is good, if it can't."""
    if any(each.critical and not isinstance(each.value, x509.OCSPNonce) for each in response.extensions):
        return "the OCSP response has a critical extension that is unknown"
    if signer == issued.issuer:
        return ""
    name = shown(signer.subject)
    if not signer.not_valid_before_utc <= now <= signer.not_valid_after_utc:
        return f"the certificate of the OCSP responder “{name}” is out of its dates"
    usage = extension(signer, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        return f"the OCSP responder “{name}” may not sign (key usage)"
    if not is_strong(signer):
        return f"the certificate of the OCSP responder “{name}” is signed in a way that can be forged"
    return ""


def _wrong_nonce(response: ocsp.OCSPResponse, nonce: bytes | None, *, needs_nonce: bool) -> str:
    sent = extension_among(response.extensions, x509.OCSPNonce)
    found = sent.nonce if sent is not None else None
    if nonce is None or found == nonce:
        return ""
    if found is None:
        return "the OCSP response has no nonce, so it could be an old one" if needs_nonce else ""
    return "the OCSP response answers another question (nonce)"


def _answer(response: ocsp.OCSPResponse, issued: Issued) -> OcspAnswer:
    about = [each for each in response.responses if _is_about(each, issued)]
    if not about:
        raise EvidenceError("the OCSP response is about another certificate")
    single = next((each for each in about if each.certificate_status is _REVOKED), about[0])
    if single.certificate_status not in {_GOOD, _REVOKED}:
        raise EvidenceError(f"the OCSP responder of “{shown(issued.issuer.subject)}” doesn't know the certificate")
    since = single.revocation_time_utc
    revocation = None if since is None else Revocation(since, single.revocation_reason)
    # Without a nextUpdate there may be a newer answer at any time (4.2.2.1): it counts for now only.
    until = single.next_update_utc or single.this_update_utc + CLOCK_TOLERANCE
    return OcspAnswer(issued, single.this_update_utc, until, revocation)


def _is_about(single: ocsp.OCSPSingleResponse, issued: Issued) -> bool:
    """Whether the response's CertID is the certificate's (4.1.1), under whatever hash: nothing rests on it."""
    asked = _asking(issued, single.hash_algorithm).build()
    return (
        single.serial_number == asked.serial_number
        and single.issuer_name_hash == asked.issuer_name_hash
        and single.issuer_key_hash == asked.issuer_key_hash
    )


_SCHEMES: dict[x509.ObjectIdentifier, Scheme] = {
    SignatureAlgorithmOID.RSA_WITH_SHA256: padding.PKCS1v15(),
    SignatureAlgorithmOID.RSA_WITH_SHA384: padding.PKCS1v15(),
    SignatureAlgorithmOID.RSA_WITH_SHA512: padding.PKCS1v15(),
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: ec.ECDSA(hashes.SHA256()),
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: ec.ECDSA(hashes.SHA384()),
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: ec.ECDSA(hashes.SHA512()),
}
"""The library tells an RSA-PSS signature's parameters of lists, but not of OCSP responses."""
