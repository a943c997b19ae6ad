"""Which key goes into which slot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from sra.cards.pkcs11.module_slots import OPENSC_IDS, FoundKey, choose_slots, found_key
from sra.errors import KeyMissingError
from sra.piv.keys import Algorithm, Slot

PRIVATE = ec.generate_private_key(ec.SECP256R1())
NOW = datetime.now(UTC)
USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
LOGON = ExtendedKeyUsageOID.SMARTCARD_LOGON


def certificate(*usages: str, extended: tuple[ObjectIdentifier, ...] = (), ca: bool = False, begins: int = 0) -> bytes:
    """A certificate (DER) with these key usages; with none it says nothing of its usage."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ann")])
    start = NOW + timedelta(days=begins)
    builder = x509.CertificateBuilder(name, name, PRIVATE.public_key(), 1, start, start + timedelta(days=1))
    if usages:
        builder = builder.add_extension(x509.KeyUsage(*(usage in usages for usage in USAGES)), critical=True)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    return builder.sign(PRIVATE, SHA256()).public_bytes(Encoding.DER)


SIGNS = certificate("digital_signature")
LOGS_IN = certificate("digital_signature", extended=(CLIENT,))
COMMITS = certificate("content_commitment")
BOTH = certificate("digital_signature", "content_commitment")
DECRYPTS = certificate("key_encipherment")
DERIVES = certificate("key_agreement")
SILENT = certificate()


def key(key_id: str, der: bytes) -> FoundKey:
    return FoundKey(bytes.fromhex(key_id), der, Algorithm.P256)


def placed(*keys: FoundKey, **chosen: str) -> dict[str, str]:
    """The CKA_ID of the key in each slot."""
    wanted = {Slot(int(slot.removeprefix("_"), 16)): bytes.fromhex(key_id) for slot, key_id in chosen.items()}
    return {f"{slot:02X}": found.key_id.hex() for slot, found in choose_slots(keys, wanted).items()}


def test_ids_are_opensc_s() -> None:
    assert OPENSC_IDS[b"\x01"] is Slot.AUTHENTICATION
    assert OPENSC_IDS[b"\x05"] is Slot.RETIRED_1
    assert OPENSC_IDS[b"\x10"] is Slot.RETIRED_6
    assert OPENSC_IDS[b"\x24"] is Slot.RETIRED_20
    assert len(OPENSC_IDS) == 24


def test_keys_with_opensc_s_ids_go_where_opensc_has_them() -> None:
    keys = (key("04", SIGNS), key("03", DERIVES), key("02", BOTH), key("01", LOGS_IN), key("24", DECRYPTS))
    assert placed(*keys) == {"9A": "01", "9C": "02", "9D": "03", "9E": "04", "95": "24"}


def test_an_id_does_not_make_a_key_what_its_certificate_forbids() -> None:
    assert placed(key("01", DECRYPTS), key("03", SIGNS)) == {"9A": "03", "9D": "01"}


@pytest.mark.parametrize(
    ("der", "slot"),
    [(SIGNS, "9A"), (LOGS_IN, "9A"), (BOTH, "9A"), (COMMITS, "9C"), (DECRYPTS, "9D"), (DERIVES, "9D"), (SILENT, "9A")],
)
def test_a_single_key_goes_by_its_usage(der: bytes, slot: str) -> None:
    assert placed(key("aa", der)) == {slot: "aa"}


def test_several_keys_go_by_their_usages() -> None:
    keys = (key("a1", BOTH), key("a2", DECRYPTS), key("a3", SIGNS), key("a4", DERIVES), key("a5", DECRYPTS))
    assert placed(*keys) == {"9A": "a3", "9C": "a1", "9D": "a2", "82": "a4", "83": "a5"}


@pytest.mark.parametrize("usage", [CLIENT, LOGON])
def test_a_key_for_logins_authenticates_before_another(usage: ObjectIdentifier) -> None:
    login = certificate("digital_signature", extended=(usage,))
    assert placed(key("a1", SIGNS), key("a2", login))["9A"] == "a2"


def test_of_two_certificates_for_a_key_the_newer_counts() -> None:
    older, newer = certificate("digital_signature", begins=-9), certificate("digital_signature", begins=-1)
    for keys in ([key("01", older), key("01", newer)], [key("01", newer), key("01", older)]):
        assert choose_slots(keys, {})[Slot.AUTHENTICATION].certificate == newer


def test_chosen_keys_go_where_they_were_chosen_for_and_nothing_else_does() -> None:
    keys = (key("a1", SIGNS), key("a2", DECRYPTS), key("a3", COMMITS))
    assert placed(*keys, _9E="a1", _82="a1", _9C="a2") == {"9E": "a1", "82": "a1", "9C": "a2"}


def test_a_chosen_key_that_is_not_there_is_told() -> None:
    with pytest.raises(KeyMissingError, match="ID b1 chosen for 9A; there are: a1, a2"):
        placed(key("a1", SIGNS), key("a2", SIGNS), _9A="b1")


def test_more_keys_than_slots_leave_some_out() -> None:
    keys = [key(f"c{number:03x}", DECRYPTS) for number in range(30)]
    assert len(choose_slots(keys, {})) == 21


def test_authorities_and_other_keys_are_none() -> None:
    assert found_key(b"\1", certificate("key_cert_sign", ca=True)) is None
    assert found_key(b"\1", b"rubbish") is None
    other = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, other.public_key(), 1, NOW, NOW + timedelta(days=1))
    assert found_key(b"\1", builder.sign(other, None).public_bytes(Encoding.DER)) is None
    assert found_key(b"\1", SIGNS) == FoundKey(b"\1", SIGNS, Algorithm.P256)
