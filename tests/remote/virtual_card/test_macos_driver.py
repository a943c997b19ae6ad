"""The virtual card with real keys, driven as macOS drives a PIV card."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sra.piv import objects
from sra.piv.keys import Algorithm, Slot
from sra.piv.objects import CERTIFICATES, CardContents
from sra.remote.virtual_card.applet import Applet
from tests.piv_blocks import build_compressed_certificate
from tests.remote.virtual_card.macos_driver import DriverError, MacosDriver
from tests.remote.virtual_card.recording import GUID, contents_of, describe
from tests.remote.virtual_card.soft_keys import PIN, SoftKeys, SoftPinCheck, make_certificate, make_key

SHA256_PREFIX = bytes.fromhex("3031300D060960864801650304020105000420")
CARD = {
    Slot.AUTHENTICATION: Algorithm.RSA_2048,
    Slot.SIGNATURE: Algorithm.P384,
    Slot.KEY_MANAGEMENT: Algorithm.P256,
    Slot.CARD_AUTHENTICATION: Algorithm.P256,
    Slot.RETIRED_1: Algorithm.RSA_2048,
    Slot.RETIRED_2: Algorithm.P384,
}
KEYS = {slot: make_key(slot, algorithm) for slot, algorithm in CARD.items()}
DER = {slot: make_certificate(slot, private) for slot, private in KEYS.items()}
CONTENTS = contents_of((describe(slot, algorithm) for slot, algorithm in CARD.items()), DER.__getitem__)


def transmit_to(contents: CardContents) -> Callable[[bytes], bytes]:
    applet = Applet(
        contents,
        SoftKeys(KEYS),
        SoftPinCheck(),
        random_bytes=os.urandom,
        clock=lambda: 0.0,
        pin_idle=60,
        pin_pad=True,
    )
    return lambda apdu: asyncio.run(applet.transmit(apdu))


@pytest.fixture
def driver() -> MacosDriver:
    opened = MacosDriver(transmit_to(CONTENTS))
    opened.find()
    return opened


def padded(message: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(message)
    info = SHA256_PREFIX + digest.finalize()
    return b"\0\1" + b"\xff" * (253 - len(info)) + b"\0" + info


def test_every_certificate_is_found() -> None:
    found = MacosDriver(transmit_to(CONTENTS)).find()
    assert found.certificates == {int(slot): der for slot, der in DER.items()}
    assert found.instance == GUID.hex().upper()


def test_a_compressed_certificate_is_found() -> None:
    compressed = {CERTIFICATES[Slot.SIGNATURE]: build_compressed_certificate(DER[Slot.SIGNATURE])}
    contents = CardContents(objects=CONTENTS.objects | compressed, keys=CONTENTS.keys)
    assert MacosDriver(transmit_to(contents)).find().certificates[Slot.SIGNATURE] == DER[Slot.SIGNATURE]


def test_a_card_with_one_certificate_is_found() -> None:
    kept = {objects.CHUID, objects.CARD_CAPABILITY_CONTAINER, objects.DISCOVERY, CERTIFICATES[Slot.AUTHENTICATION]}
    contents = CardContents(objects={tag: CONTENTS.objects[tag] for tag in kept}, keys=CONTENTS.keys[:1])
    assert list(MacosDriver(transmit_to(contents)).find().certificates) == [Slot.AUTHENTICATION]


def test_a_card_without_a_guid_would_not_be_shown() -> None:
    contents = CardContents(objects=CONTENTS.objects | {objects.CHUID: b"\xfe\x00"}, keys=())
    with pytest.raises(DriverError):
        MacosDriver(transmit_to(contents)).find()


def test_the_pin_is_verified_or_not(driver: MacosDriver) -> None:
    assert [driver.verify(b"654321"), driver.verify(PIN)] == [0x63C2, 0x9000]


def test_an_rsa_signature_verifies(driver: MacosDriver) -> None:
    driver.verify(PIN)
    signature = driver.sign(Algorithm.RSA_2048, Slot.AUTHENTICATION, padded(b"message"))
    private = KEYS[Slot.AUTHENTICATION]
    assert isinstance(private, rsa.RSAPrivateKey)
    private.public_key().verify(signature, b"message", padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("slot", [Slot.SIGNATURE, Slot.CARD_AUTHENTICATION])
def test_an_ec_signature_verifies(driver: MacosDriver, slot: Slot) -> None:
    driver.verify(PIN)
    private = KEYS[slot]
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    signature = driver.sign(CARD[slot], slot, bytes(range(32)))
    private.public_key().verify(signature, bytes(range(32)), ec.ECDSA(utils.Prehashed(hashes.SHA256())))


def test_an_rsa_block_is_decrypted(driver: MacosDriver) -> None:
    driver.verify(PIN)
    private = KEYS[Slot.RETIRED_1]
    assert isinstance(private, rsa.RSAPrivateKey)
    block = private.public_key().encrypt(b"message", padding.PKCS1v15())
    assert driver.sign(Algorithm.RSA_2048, Slot.RETIRED_1, block).endswith(b"\0message")


@pytest.mark.parametrize("slot", [Slot.KEY_MANAGEMENT, Slot.RETIRED_2])
def test_a_secret_is_derived(driver: MacosDriver, slot: Slot) -> None:
    driver.verify(PIN)
    private = KEYS[slot]
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    other = ec.generate_private_key(private.curve)
    point = other.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert driver.derive(CARD[slot], slot, point) == other.exchange(ec.ECDH(), private.public_key())


def test_nothing_is_signed_without_the_pin(driver: MacosDriver) -> None:
    with pytest.raises(DriverError, match="6982"):
        driver.sign(Algorithm.RSA_2048, Slot.AUTHENTICATION, padded(b"message"))
