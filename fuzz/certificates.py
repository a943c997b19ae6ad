"""X.509 of people nobody vouches for: certificates, revocation lists, OCSP answers, hand-overs.

Lists and answers come signed by an authority of this module, whatever is in them: a hostile authority can do that, and
without a right signature nothing but the outermost bytes would be looked at.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from fuzz.target import attempt, must, target
from sra.cards.piv_defaults import algorithm_of
from sra.cards.pkcs11.module_slots import choose_slots, found_key
from sra.errors import CardError, RefusedError
from sra.identity import authorities, certificates, challenges, crl, handover, ocsp
from sra.identity.authorities import Authorities, Issued
from sra.identity.certificates import CardCertificate
from sra.identity.revocation import EvidenceError
from sra.piv import tlv
from sra.piv.keys import Algorithm
from sra.remote.accounts.certificate_fields import FIELDS, FieldMissingError, read_field
from sra.remote.logins import mapping

NOW = datetime(2030, 1, 15, 12, tzinfo=UTC)
_DAY = timedelta(days=1)
_WORDS = (
    bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d11"), bytes.fromhex("0603551d13"), bytes.fromhex("0603551d1b"),
    bytes.fromhex("0603551d1c"), bytes.fromhex("0603551d1d"), bytes.fromhex("0603551d1e"), bytes.fromhex("0603551d1f"),
    bytes.fromhex("0603551d20"), bytes.fromhex("0603551d21"), bytes.fromhex("0603551d24"), bytes.fromhex("0603551d25"),
    bytes.fromhex("0603550403"), bytes.fromhex("060a2b060104018237140203"), bytes.fromhex("0101ff"), b"170d",
    bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06092a864886f70d01010a"), bytes.fromhex("0500"),
    bytes.fromhex("300d06092a864886f70d01010b0500"), b"\xa3\x82", b"\x30\x82", b"\x31\x0b", b"20300115120000Z",
)  # fmt: skip


@functools.cache
def authority_key() -> ec.EllipticCurvePrivateKey:
    """The key of the authority: always the same, so that inputs mean the same tomorrow."""
    return ec.derive_private_key(0x5AD0, ec.SECP256R1())


def authority_certificate(serial: int = 1) -> x509.Certificate:
    """The authority's own certificate, or with another serial number one of a card's with the same key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Fuzzing CA")])
    subject = name if serial == 1 else x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ann")])
    return (
        x509.CertificateBuilder(name, subject, authority_key().public_key(), serial, NOW - _DAY, NOW + _DAY)
        .add_extension(x509.BasicConstraints(ca=serial == 1, path_length=None), critical=True)
        .sign(authority_key(), hashes.SHA256())
    )


@functools.cache
def authority() -> x509.Certificate:
    """The authority's own certificate."""
    return authority_certificate()


@functools.cache
def card() -> x509.Certificate:
    """A certificate that the authority has issued."""
    return authority_certificate(0x1234)


ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def signed(content: bytes) -> bytes:
    """``content`` as what an X.509 structure has signed (RFC 5280, 4.1.1): it, the algorithm, the signature."""
    return tlv.encode(0x30, content + ECDSA_SHA256 + tlv.encode(0x03, b"\x00" + _signature(content)))


def _signature(content: bytes) -> bytes:
    return authority_key().sign(content, ec.ECDSA(hashes.SHA256()))


def answered(content: bytes) -> bytes:
    """``content`` (tbsResponseData) as an OCSP response that the authority has signed (RFC 6960, 4.2.1)."""
    octets = tlv.encode(0x04, signed(content))
    basic = bytes.fromhex("06092b0601050507300101") + octets
    return tlv.encode(0x30, b"\x0a\x01\x00" + tlv.encode(0xA0, tlv.encode(0x30, basic)))


def _read_names(found: CardCertificate) -> None:
    must(len(found.display_name) <= certificates.MAX_NAME and found.display_name.isprintable(), "a name can be shown")
    must(found.fingerprint.startswith("SHA256:"), "it has a fingerprint")
    attempt(RefusedError, found.check_validity, NOW)
    for name in FIELDS:
        value = attempt(FieldMissingError, read_field, found, name)
        must(value is None or (value.isprintable() and value), "a field's value can be shown")
    must(mapping.account_of(mapping.text_of({found.der: "ann"}).decode(), found.der) == "ann", "it is mapped")


@target(max_len=8192, words=_WORDS)
def fuzz_card_certificate(data: bytes) -> None:
    """A stranger's certificate in Hello, and everything that is read of it after its proof."""
    found = attempt(RefusedError, certificates.parse, data)
    if found is None:
        return
    must(found == certificates.parse(found.der), "it is read again as it was")
    _read_names(found)
    attempt(RefusedError, Authorities((authority(),), ()).path, found, NOW)
    must(not challenges.is_proven(found, bytes(32), data[-72:]), "nobody proves anything without a key")


@target(max_len=8192, words=(*_WORDS, b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"))
def fuzz_certificate_files(data: bytes) -> None:
    """Files of certificates that administrators put into a folder."""
    attempt(RefusedError, certificates.parse_file, data)
    found = attempt(RefusedError, authorities.read_certificates, data)
    if found:
        sorted_, others = authorities.sort_authorities(found)
        must(len(sorted_.all) + len(others) <= len(found), "each certificate is in one place")


@target(max_len=8192, words=_WORDS)
def fuzz_card_keys(data: bytes) -> None:
    """Certificates that a card or a PKCS#11 module gives out."""
    algorithm = attempt(CardError, algorithm_of, data)
    must(algorithm is None or algorithm in Algorithm, "it is an algorithm of PIV, or none")
    key = found_key(b"\x01", data)
    if key is not None:
        other = found_key(b"\x45", data)
        must(choose_slots([key, *([other] if other else [])], {}) is not None, "keys are placed")


@target(max_len=16384, words=_WORDS)
def fuzz_handover(data: bytes) -> None:
    """A remote's TLS certificate that claims to replace another: nothing raises, nothing is believed."""
    must(not handover.replaces(data, "SHA256:" + ":".join(["00"] * 32)), "nothing was handed over")
    inner = tlv.encode(0x30, tlv.encode(0x04, data) + tlv.encode(0x04, data[:70]))
    name = x509.Name([])
    wrapping = (
        x509.CertificateBuilder(name, name, authority_key().public_key(), 7, NOW - _DAY, NOW + _DAY)
        .add_extension(x509.UnrecognizedExtension(handover.OID, inner), critical=False)
        .sign(authority_key(), hashes.SHA256())
    )
    must(not handover.replaces(wrapping.public_bytes(Encoding.DER), "SHA256:00"), "nothing was handed over")


@target(max_len=8192, words=_WORDS)
def fuzz_crl(data: bytes) -> None:
    """A revocation list as it is, and its content signed by the authority."""
    issued = Issued(card(), authority())
    for body in (data, signed(data)):
        found = attempt(EvidenceError, crl.verify, body, authority())
        if found is not None:
            revocation = found.find(issued)
            must(revocation is None or str(revocation), "a revocation can be told")


@target(max_len=8192, words=_WORDS)
def fuzz_ocsp(data: bytes) -> None:
    """An OCSP answer as it is, and its content signed by the authority."""
    issued = Issued(card(), authority())

    def verify(body: bytes) -> ocsp.OcspAnswer:
        return ocsp.verify(body, issued, NOW, None, needs_nonce=False)

    for body in (data, answered(data)):
        found = attempt(EvidenceError, verify, body)
        if found is not None:
            must(found.covers(issued) and found.source, "an answer is about what was asked")
