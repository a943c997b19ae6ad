"""The certificates of a software card."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sra.cards.software.maker import CardHolder, Issuer, issue, load_issuer, parse_subject, validity
from sra.errors import UsageError
from sra.piv.keys import Slot

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VALID = validity(NOW, days=30)
HOLDER = CardHolder(parse_subject("CN=Ann,O=Example"), "ann@example.org", "ann@EXAMPLE.ORG")
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256 = ec.generate_private_key(ec.SECP256R1())
AUTHORITY_NAME = parse_subject("Test CA")
SIGNERS: list[CertificateIssuerPrivateKeyTypes] = [
    RSA,
    P256,
    ec.generate_private_key(ec.SECP384R1()),
    ed25519.Ed25519PrivateKey.generate(),
]


def self_signed(
    slot: Slot, private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, holder: CardHolder = HOLDER
) -> x509.Certificate:
    return x509.load_der_x509_certificate(issue(slot, private, holder, None, VALID))


def authority(private: CertificateIssuerPrivateKeyTypes) -> x509.Certificate:
    digest = None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = x509.CertificateBuilder(AUTHORITY_NAME, AUTHORITY_NAME, private.public_key(), 1, VALID.start, VALID.end)
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(private, digest)


def pem(private: CertificateIssuerPrivateKeyTypes, password: bytes = b"") -> bytes:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def usages(certificate: x509.Certificate) -> set[str]:
    found = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    names = ("digital_signature", "content_commitment", "key_encipherment", "key_agreement", "key_cert_sign")
    assert found.critical
    return {name for name in names if getattr(found.value, name)}


@pytest.mark.parametrize("private", [RSA, P256])
@pytest.mark.parametrize(
    ("slot", "expected"),
    [
        (Slot.AUTHENTICATION, {"digital_signature"}),
        (Slot.SIGNATURE, {"digital_signature", "content_commitment"}),
        (Slot.CARD_AUTHENTICATION, {"digital_signature"}),
    ],
)
def test_signing_keys_may_only_sign(
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, slot: Slot, expected: set[str]
) -> None:
    assert usages(self_signed(slot, private)) == expected


@pytest.mark.parametrize("slot", [Slot.KEY_MANAGEMENT, Slot.RETIRED_1, Slot.RETIRED_20])
def test_management_keys_may_only_decrypt_or_agree(slot: Slot) -> None:
    assert usages(self_signed(slot, RSA)) == {"key_encipherment"}
    assert usages(self_signed(slot, P256)) == {"key_agreement"}


@pytest.mark.parametrize(
    ("slot", "expected"),
    [
        (Slot.AUTHENTICATION, [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SMARTCARD_LOGON]),
        (Slot.SIGNATURE, [ExtendedKeyUsageOID.EMAIL_PROTECTION]),
        (Slot.RETIRED_5, [ExtendedKeyUsageOID.EMAIL_PROTECTION]),
        (Slot.CARD_AUTHENTICATION, [x509.ObjectIdentifier("2.16.840.1.101.3.6.8")]),
    ],
)
def test_only_the_authentication_key_is_for_logins(slot: Slot, expected: list[x509.ObjectIdentifier]) -> None:
    found = self_signed(slot, P256).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(found.value) == expected


def test_the_holder_is_named() -> None:
    certificate = self_signed(Slot.AUTHENTICATION, P256)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert certificate.subject.rfc4514_string() == "CN=Ann,O=Example"
    assert names.get_values_for_type(x509.RFC822Name) == ["ann@example.org"]
    assert [other.value for other in names.get_values_for_type(x509.OtherName)] == [b"\x0c\x0fann@EXAMPLE.ORG"]


def test_a_holder_without_addresses_has_no_alternative_name() -> None:
    certificate = self_signed(Slot.AUTHENTICATION, P256, CardHolder(parse_subject("Ann")))
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_a_self_signed_certificate_verifies_with_its_own_key() -> None:
    certificate = self_signed(Slot.KEY_MANAGEMENT, RSA)
    certificate.verify_directly_issued_by(certificate)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize("signer", SIGNERS)
def test_an_issued_certificate_verifies_with_its_authority(signer: CertificateIssuerPrivateKeyTypes) -> None:
    issuer = authority(signer)
    issued = issue(Slot.AUTHENTICATION, P256, HOLDER, Issuer(issuer, signer), VALID)
    certificate = x509.load_der_x509_certificate(issued)
    certificate.verify_directly_issued_by(issuer)
    assert certificate.issuer == AUTHORITY_NAME


def test_it_is_valid_from_a_little_before_now() -> None:
    certificate = self_signed(Slot.AUTHENTICATION, P256)
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=30)


@pytest.mark.parametrize("days", [-1, 0, 36_501, 10**9])
def test_other_times_are_refused(days: int) -> None:
    with pytest.raises(UsageError, match="1 to 36500 days"):
        validity(NOW, days)


def test_a_plain_name_is_a_common_name() -> None:
    assert parse_subject("Ann Example").get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "Ann Example"


@pytest.mark.parametrize("text", ["", "=", "X=Y", "CN=", "CN=a+", "a,b"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no name"):
        parse_subject(text)


@pytest.mark.parametrize("email", ["ä@example.org"])
def test_an_address_that_a_certificate_can_not_hold_is_refused(email: str) -> None:
    with pytest.raises(UsageError, match="e-mail"):
        self_signed(Slot.AUTHENTICATION, P256, CardHolder(parse_subject("Ann"), email))


def test_an_endless_principal_name_is_refused() -> None:
    with pytest.raises(UsageError, match="too long"):
        self_signed(Slot.AUTHENTICATION, P256, CardHolder(parse_subject("Ann"), upn="x" * 128))


@pytest.mark.parametrize("signer", SIGNERS)
def test_an_authority_comes_from_its_files(signer: CertificateIssuerPrivateKeyTypes) -> None:
    certificate = authority(signer)
    loaded = load_issuer(certificate.public_bytes(serialization.Encoding.PEM), pem(signer))
    assert loaded.certificate == certificate


def test_files_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(UsageError, match="does not belong"):
        load_issuer(authority(RSA).public_bytes(serialization.Encoding.PEM), pem(P256))


def test_an_encrypted_key_is_a_clear_error() -> None:
    with pytest.raises(UsageError, match="encrypted"):
        load_issuer(authority(RSA).public_bytes(serialization.Encoding.PEM), pem(RSA, b"secret"))


def test_a_key_that_can_not_sign_here_is_refused() -> None:
    private = dsa.generate_private_key(2048)
    with pytest.raises(UsageError, match="RSA, elliptic-curve or Ed25519"):
        load_issuer(authority(RSA).public_bytes(serialization.Encoding.PEM), pem(private))


def test_rubbish_is_a_clear_error() -> None:
    with pytest.raises(UsageError, match="PEM"):
        load_issuer(b"rubbish", b"rubbish")
