from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from sra.errors import UsageError
from sra.identity import handover
from sra.identity.handover import MAX_HANDOVERS, OID
from sra.identity.x509_reading import fingerprint
from sra.piv import tlv

NOW = datetime.now(UTC)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "remote")])
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(key: Key, extension: x509.ExtensionType | None = None) -> bytes:
    """A certificate that its own key signed, as a remote makes it."""
    end = NOW + timedelta(days=1)
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), x509.random_serial_number(), NOW, end)
    if extension is not None:
        builder = builder.add_extension(extension, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


def renewed(old: bytes, old_key: handover.PrivateKey) -> tuple[bytes, ec.EllipticCurvePrivateKey]:
    key = new_key()
    return certificate(key, handover.extension(old, old_key, key.public_key())), key


def written(old: bytes, signature: bytes) -> x509.ExtensionType:
    """A hand-over with these contents, as an attacker could write it."""
    return x509.UnrecognizedExtension(OID, tlv.encode(0x30, tlv.encode(0x04, old) + tlv.encode(0x04, signature)))


def signature_in(new: bytes) -> bytes:
    value = x509.load_der_x509_certificate(new).extensions.get_extension_for_oid(OID).value.public_bytes()
    return tlv.parse(tlv.unwrap(0x30, value))[1].value


@pytest.mark.parametrize(
    "old_key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-256", "P-384", "RSA"],
)
def test_a_renewed_certificate_replaces_the_one_before(old_key: handover.PrivateKey) -> None:
    old = certificate(old_key)
    new, _ = renewed(old, old_key)
    assert handover.replaces(new, fingerprint(old))


def test_it_replaces_no_other_one_and_not_itself() -> None:
    key = new_key()
    old, stranger = certificate(key), certificate(new_key())
    new, _ = renewed(old, key)
    assert not handover.replaces(new, fingerprint(stranger))
    assert not handover.replaces(new, fingerprint(new))
    assert not handover.replaces(old, fingerprint(new))
    assert not handover.replaces(old, fingerprint(old))


def test_a_chain_of_renewals_is_walked_back_as_far_as_it_may_be_long() -> None:
    key = new_key()
    chain = [certificate(key)]
    for _ in range(MAX_HANDOVERS):
        new, key = renewed(chain[-1], key)
        chain.append(new)
    assert all(handover.replaces(chain[-1], fingerprint(old)) for old in chain[:-1])
    assert not any(handover.replaces(chain[0], fingerprint(new)) for new in chain[1:])
    with pytest.raises(UsageError, match=f"renewed {MAX_HANDOVERS} times.*--force"):
        renewed(chain[-1], key)


def test_a_longer_chain_is_not_followed() -> None:
    key = new_key()
    first = certificate(key)
    chain = first
    for _ in range(MAX_HANDOVERS):
        chain, key = renewed(chain, key)
    newest = new_key()
    signed = key.sign(handover._message(chain, handover._public_bytes(newest.public_key())), ec.ECDSA(hashes.SHA256()))
    too_long = certificate(newest, written(chain, signed))
    assert handover.replaces(too_long, fingerprint(chain))
    assert not handover.replaces(too_long, fingerprint(first))


def test_another_key_s_signature_hands_nothing_over() -> None:
    old, attacker = certificate(new_key()), new_key()
    forged, _ = renewed(old, attacker)
    assert not handover.replaces(forged, fingerprint(old))


def test_a_hand_over_copied_to_another_key_hands_nothing_over() -> None:
    key = new_key()
    old = certificate(key)
    genuine, _ = renewed(old, key)
    copied = certificate(new_key(), written(old, signature_in(genuine)))
    assert not handover.replaces(copied, fingerprint(old))


def test_the_signature_of_another_old_certificate_of_the_same_key_does_not_count() -> None:
    key = new_key()
    old, other = certificate(key), certificate(key)
    genuine, newer = renewed(old, key)
    swapped = certificate(newer, written(other, signature_in(genuine)))
    assert not handover.replaces(swapped, fingerprint(other))


def test_one_forged_link_breaks_the_chain() -> None:
    key, attacker = new_key(), new_key()
    old = certificate(key)
    forged, forged_key = renewed(old, attacker)
    newest, _ = renewed(forged, forged_key)
    assert handover.replaces(newest, fingerprint(forged))
    assert not handover.replaces(newest, fingerprint(old))


@pytest.mark.parametrize(
    "plain", [b"", b"sra-identity-hand-over-v1", b"\x20" * 64 + b"TLS 1.3, server CertificateVerify"]
)
def test_what_the_old_key_signed_for_something_else_does_not_count(plain: bytes) -> None:
    key, attacker = new_key(), new_key()
    old = certificate(key)
    other = key.sign(plain, ec.ECDSA(hashes.SHA256()))
    assert not handover.replaces(certificate(attacker, written(old, other)), fingerprint(old))


def test_a_short_rsa_key_and_one_of_another_kind_hand_nothing_over() -> None:
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505
    old = certificate(short)
    new, _ = renewed(old, short)
    assert not handover.replaces(new, fingerprint(old))
    strange = certificate(ed25519.Ed25519PrivateKey.generate())
    assert not handover.replaces(certificate(new_key(), written(strange, b"signature")), fingerprint(strange))
    key = new_key()
    before = certificate(key)
    genuine, _ = renewed(before, key)
    to_strange = certificate(ed25519.Ed25519PrivateKey.generate(), written(before, signature_in(genuine)))
    assert not handover.replaces(to_strange, fingerprint(before))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        tlv.encode(0x30, tlv.encode(0x04, b"only one")),
        tlv.encode(0x30, tlv.encode(0x04, b"a") * 3),
        tlv.encode(0x30, tlv.encode(0x02, b"a") + tlv.encode(0x04, b"b")),
        tlv.encode(0x31, tlv.encode(0x04, b"a") + tlv.encode(0x04, b"b")),
        tlv.encode(0x30, tlv.encode(0x04, b"a") + tlv.encode(0x04, b"b")) + b"\x00",
        tlv.encode(0x30, tlv.encode(0x04, b"\x00" * (handover.MAX_CERTIFICATE + 1)) + tlv.encode(0x04, b"b")),
    ],
)
def test_a_malformed_hand_over_hands_nothing_over(value: bytes) -> None:
    malformed = certificate(new_key(), x509.UnrecognizedExtension(OID, value))
    for old in (b"", b"a", b"only one", malformed):
        assert not handover.replaces(malformed, fingerprint(old))


@settings(max_examples=50)
@given(st.data())
def test_a_hand_over_with_any_byte_changed_hands_nothing_over(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(GENUINE) - 1))
    changed = bytearray(GENUINE)
    changed[place] ^= data.draw(st.integers(1, 255))
    key = x509.load_der_x509_certificate(GENUINE).public_key()
    try:
        same_key = x509.load_der_x509_certificate(bytes(changed)).public_key() == key
    except Exception:  # noqa: BLE001 - whatever the library says of what is no certificate any more
        same_key = False
    # A remote can't show a certificate for another key in a handshake; for its own key, the signature decides.
    assert not handover.replaces(bytes(changed), fingerprint(OLD)) or same_key


@given(st.binary(max_size=200))
def test_any_bytes_hand_nothing_over(data: bytes) -> None:
    assert not handover.replaces(data, fingerprint(data))


OLD_KEY = new_key()
OLD = certificate(OLD_KEY)
GENUINE, _ = renewed(OLD, OLD_KEY)
