"""Reading a card: everything there is, as it is, from an applet that answers like a real card."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sra.cards.pcsc.pcsc_contents import read_card
from sra.cards.pcsc.piv import PcscPivApplication, way_to_card
from sra.cards.software.maker import CardHolder, issue, parse_subject, validity
from sra.piv import objects
from sra.piv.keys import Algorithm, KeyDescription, KeyReply, KeyRequest, PinPolicy, PinReply, PinRequest, Slot
from sra.piv.objects import CERTIFICATES, CHUID, KEY_HISTORY, CardContents, KeyHistory, build_certificate
from sra.remote.virtual_card.applet import Applet
from tests.piv_blocks import build_compressed_certificate

NOW = datetime.now(UTC)
P256 = ec.generate_private_key(ec.SECP256R1())
CERTIFICATE = issue(Slot.AUTHENTICATION, P256, CardHolder(parse_subject("Ann")), None, validity(NOW, days=1))
KEY_9A = KeyDescription(Slot.AUTHENTICATION, Algorithm.P256, PinPolicy.ONCE)
TAG_9A = CERTIFICATES[Slot.AUTHENTICATION]


class NoKeys:
    """Reading a card needs no key and no PIN."""

    async def use_key(self, request: KeyRequest) -> KeyReply:
        raise AssertionError(request.slot)

    async def check_pin(self, request: PinRequest) -> PinReply:
        raise AssertionError(request)


def read(given: dict[int, bytes]) -> CardContents:
    """What is read of a card with these objects."""
    nobody = NoKeys()
    applet = Applet(
        CardContents(given, ()), nobody, nobody, random_bytes=bytes, clock=lambda: 0.0, pin_idle=1.0, pin_pad=False
    )
    piv = PcscPivApplication(way_to_card(lambda apdu: asyncio.run(applet.transmit(apdu)), is_t0=False))
    piv.select()
    return read_card(piv).contents


def history(on_card: int, off_card: int = 0) -> bytes:
    return objects.build_key_history(KeyHistory(on_card, off_card, "http://example.org/"))


def other_certificate() -> bytes:
    """A certificate with a key that PIV does not know."""
    private = ed25519.Ed25519PrivateKey.generate()
    name = parse_subject("Ann")
    later = NOW + timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, private.public_key(), 1, NOW, later)
    return builder.sign(private, None).public_bytes(serialization.Encoding.DER)


def test_an_empty_card_has_nothing() -> None:
    assert read({}) == CardContents({}, ())


def test_a_key_is_known_by_its_certificate() -> None:
    given = {TAG_9A: build_certificate(CERTIFICATE), CHUID: objects.build_chuid(b"g" * 16)}
    assert read(given) == CardContents(given, (KEY_9A,))


def test_a_compressed_certificate_stays_as_it_is() -> None:
    given = {TAG_9A: build_compressed_certificate(CERTIFICATE)}
    assert read(given) == CardContents(given, (KEY_9A,))


@pytest.mark.parametrize("container", [b"\x70\x05short", b"rubbish", build_certificate(b"rubbish"), b"\x71\x01\x00"])
def test_a_damaged_certificate_is_kept_but_gives_no_key(container: bytes) -> None:
    assert read({TAG_9A: container}) == CardContents({TAG_9A: container}, ())


def test_a_key_that_piv_does_not_know_gives_no_key() -> None:
    given = {TAG_9A: build_certificate(other_certificate())}
    assert read(given) == CardContents(given, ())


def test_an_object_of_the_largest_size_is_read() -> None:
    given = {CHUID: bytes(objects.MAX_OBJECT)}
    assert read(given).objects == given


def test_only_the_retired_keys_that_the_history_counts_are_read() -> None:
    retired = [Slot.RETIRED_1, Slot.RETIRED_3, Slot.RETIRED_4]
    certificates = {CERTIFICATES[slot]: build_certificate(CERTIFICATE) for slot in retired}
    found = read(certificates | {KEY_HISTORY: history(on_card=3)})
    assert [key.slot for key in found.keys] == [Slot.RETIRED_1, Slot.RETIRED_3]
    assert CERTIFICATES[Slot.RETIRED_4] not in found.objects


def test_certificates_elsewhere_count_too() -> None:
    certificates = {CERTIFICATES[Slot.RETIRED_4]: build_certificate(CERTIFICATE)}
    assert len(read(certificates | {KEY_HISTORY: history(on_card=3, off_card=1)}).keys) == 1


@pytest.mark.parametrize("damaged", [b"rubbish", b"\xc1\x01\xff\xc2\x01\x00\xfe\x00", b"\xc1\x05"])
def test_a_damaged_history_counts_none(damaged: bytes) -> None:
    certificates = {CERTIFICATES[Slot.RETIRED_1]: build_certificate(CERTIFICATE)}
    assert read(certificates | {KEY_HISTORY: damaged}) == CardContents({KEY_HISTORY: damaged}, ())


def test_biometrics_and_printed_information_are_never_read() -> None:
    private = {0x5FC103: b"fingers", 0x5FC108: b"face", 0x5FC109: b"printed", 0x5FC121: b"iris", 0x5FC106: b"signed"}
    assert read(private) == CardContents({}, ())
