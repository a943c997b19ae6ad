import functools
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from hypothesis import given, settings
from hypothesis import strategies as st

from sra.errors import RefusalCode, RefusedError
from sra.identity.certificates import MAX_CERTIFICATE, parse, parse_file
from sra.piv.keys import Algorithm

SIGNER = ec.generate_private_key(ec.SECP256R1())
START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2027, 1, 1, 12, tzinfo=UTC)


@functools.cache
def rsa_key(bits: int) -> rsa.RSAPublicKey:
    return rsa.generate_private_key(65537, bits).public_key()


def certificate(key: CertificatePublicKeyTypes, *names: x509.NameAttribute[str]) -> bytes:
    subject = x509.Name(list(names) or [x509.NameAttribute(x509.NameOID.COMMON_NAME, "Alice")])
    builder = x509.CertificateBuilder(subject, subject, key, 7, START, END)
    return builder.sign(SIGNER, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


ALICE = certificate(SIGNER.public_key())


def refusal(der: bytes) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        parse(der)
    return caught.value


def test_everything_that_is_needed_is_read_at_once() -> None:
    alice = parse(ALICE)
    assert alice.der == ALICE
    assert (alice.subject, alice.display_name) == ("CN=Alice", "Alice")
    assert (alice.not_before, alice.not_after) == (START, END)
    assert alice.algorithm is Algorithm.P256
    assert alice.public_key == SIGNER.public_key()
    assert alice.fingerprint.replace(":", "").lower() == "sha256" + hashlib.sha256(ALICE).hexdigest()


@pytest.mark.parametrize(
    ("bits", "algorithm"), [(2048, Algorithm.RSA_2048), (3072, Algorithm.RSA_3072), (4096, Algorithm.RSA_4096)]
)
def test_rsa_keys_of_three_sizes_can_be_used(bits: int, algorithm: Algorithm) -> None:
    assert parse(certificate(rsa_key(bits))).algorithm is algorithm


def test_p384_can_be_used() -> None:
    assert parse(certificate(ec.generate_private_key(ec.SECP384R1()).public_key())).algorithm is Algorithm.P384


@pytest.mark.parametrize(
    "key",
    [
        rsa_key(1024),
        rsa_key(2056),
        ec.generate_private_key(ec.SECP521R1()).public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
        dsa.generate_private_key(2048).public_key(),
    ],
    ids=["rsa1024", "rsa2056", "p521", "secp256k1", "ed25519", "dsa"],
)
def test_no_other_kind_of_key_can(key: CertificatePublicKeyTypes) -> None:
    error = refusal(certificate(key))
    assert error.code is RefusalCode.CERTIFICATE
    assert "RSA 2048, 3072 or 4096, P-256, P-384" in error.text


def test_the_hash_of_an_rsa_key_is_that_of_its_pkcs1_form() -> None:
    inside = rsa_key(2048).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    parsed = parse(certificate(rsa_key(2048)))
    assert parsed.public_key_hash("sha1") == "sha1:" + hashlib.sha1(inside, usedforsecurity=False).hexdigest()
    assert parsed.public_key_hash("sha256") == "sha256:" + hashlib.sha256(inside).hexdigest()


def test_the_hash_of_a_curve_key_is_that_of_its_uncompressed_point() -> None:
    numbers = SIGNER.public_key().public_numbers()
    point = b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    assert parse(ALICE).public_key_hash("sha256") == "sha256:" + hashlib.sha256(point).hexdigest()


@pytest.mark.parametrize("key", [SIGNER.public_key(), rsa_key(2048)], ids=["ec", "rsa"])
def test_the_sha_1_is_the_usual_subject_key_identifier(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> None:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key).digest.hex()
    assert parse(certificate(key)).public_key_hash("sha1") == f"sha1:{identifier}"


def test_a_renewed_certificate_of_the_same_key_has_the_same_hash() -> None:
    renewed = certificate(SIGNER.public_key(), x509.NameAttribute(x509.NameOID.COMMON_NAME, "Alice II"))
    assert parse(renewed).public_key_hash("sha256") == parse(ALICE).public_key_hash("sha256")
    assert parse(renewed) != parse(ALICE)


def test_inside_its_dates_a_certificate_is_valid_to_the_second() -> None:
    for now in (START, END, START + timedelta(days=100)):
        parse(ALICE).check_validity(now)


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (START - timedelta(seconds=1), "not valid before 2026-01-01"),
        (END + timedelta(seconds=1), "expired on 2027-01-01"),
    ],
)
def test_outside_its_dates_it_is_refused_with_the_date(now: datetime, text: str) -> None:
    with pytest.raises(RefusedError, match=text) as caught:
        parse(ALICE).check_validity(now)
    assert caught.value.code is RefusalCode.EXPIRED


def test_a_name_that_would_move_the_cursor_is_shown_without_doing_so() -> None:
    hostile = certificate(SIGNER.public_key(), x509.NameAttribute(x509.NameOID.COMMON_NAME, "Al\x1b[2Jice\n\u202eroot"))
    assert parse(hostile).display_name == "Al?[2Jice??root"


def test_a_certificate_without_a_common_name_shows_its_subject() -> None:
    nameless = certificate(SIGNER.public_key(), x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Example"))
    assert parse(nameless).display_name == "O=Example"


def test_pem_and_der_files_give_the_same_certificate() -> None:
    pem = x509.load_der_x509_certificate(ALICE).public_bytes(serialization.Encoding.PEM)
    assert parse_file(pem) == parse_file(ALICE) == parse(ALICE)
    assert parse_file(b"subject=CN = Alice\n" + pem) == parse(ALICE)


@pytest.mark.parametrize(
    "data", [b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_pem_that_holds_no_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(RefusedError):
        parse_file(data)


@pytest.mark.parametrize("read", [parse, parse_file])
def test_nothing_longer_than_the_limit_is_even_looked_at(read: object) -> None:
    assert callable(read)
    for start in (b"", b"-----BEGIN CERTIFICATE-----"):
        with pytest.raises(RefusedError, match=str(MAX_CERTIFICATE)):
            read(start.ljust(MAX_CERTIFICATE + 1, b"\0"))


def test_a_certificate_cut_short_anywhere_is_refused() -> None:
    for length in range(len(ALICE)):
        assert refusal(ALICE[:length]).code is RefusalCode.CERTIFICATE


def test_a_certificate_with_something_behind_it_is_refused() -> None:
    refusal(ALICE + b"\0")
    refusal(ALICE + ALICE)


def test_a_key_with_which_everybody_could_sign_is_refused() -> None:
    weak = certificate(rsa_key(2048)).replace(b"\x02\x03\x01\x00\x01", b"\x02\x03\x00\x00\x01")
    refusal(weak)
    refusal(certificate(rsa_key(2048)).replace(b"\x02\x03\x01\x00\x01", b"\x02\x03\x01\x00\x02"))


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(max_examples=2000, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(ALICE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_certificate_with_any_bytes_changed_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(ALICE)
    for position, value in changes:
        damaged[position] = value
    assert name_or_refusal(bytes(damaged)).isprintable()


def name_or_refusal(der: bytes) -> str:
    try:
        return parse(der).display_name
    except RefusedError as error:
        return f"{error.code}: {error.text}"


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    assert refusal(data).text
