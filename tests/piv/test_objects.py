"""The data objects: what is built can be read, and what is damaged is told."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import CardError
from sra.piv import objects, tlv
from sra.piv.objects import CERTIFICATES, KeyHistory
from tests.piv_blocks import build_compressed_certificate

GUID = bytes(range(1, 17))
CHUID_OF_A_YUBIKEY = bytes.fromhex(
    "3019D4E739DA739CED39CE739D836858210842108421C84210C3EB34100102030405060708090A0B0C0D0E0F10"
    "350832303330303130313E00FE00"
)


def test_the_check_byte_of_the_atr_is_right() -> None:
    check = 0
    for byte in objects.ATR[1:]:
        check ^= byte
    assert check == 0


def test_the_certificates_of_the_retired_keys_are_counted_on() -> None:
    assert [CERTIFICATES[slot] for slot in CERTIFICATES if slot.is_retired] == list(range(0x5FC10D, 0x5FC121))


def test_the_guid_of_a_real_card_is_found() -> None:
    assert objects.guid_of(CHUID_OF_A_YUBIKEY) == GUID


@pytest.mark.parametrize("chuid", ["", "FE00", "3400FE00", "3410" + "00" * 16, "340F" + "01" * 15, "3410", "FF"])
def test_a_chuid_without_a_guid_has_none(chuid: str) -> None:
    assert objects.guid_of(bytes.fromhex(chuid)) is None


def test_a_built_chuid_is_the_one_of_a_card_without_agency() -> None:
    built = objects.build_chuid(GUID)
    assert objects.guid_of(built) == GUID
    assert tlv.fields(built).keys() == tlv.fields(CHUID_OF_A_YUBIKEY).keys()
    assert tlv.fields(built)[0x30] == tlv.fields(CHUID_OF_A_YUBIKEY)[0x30]


def test_a_built_capability_container_names_the_card() -> None:
    built = tlv.fields(objects.build_card_capability_container(GUID))
    assert built[0xF0] == bytes.fromhex("A000000116FF02") + GUID[:14]
    assert built[0xF5] == b"\x10"
    assert list(built) == [0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE]


def test_discovery_offers_the_application_pin_only() -> None:
    assert objects.build_discovery() == bytes.fromhex("4F0BA0000003080000100001005F2F024000")


@given(st.integers(0, 20), st.integers(0, 20), st.text("abc:/.", max_size=50))
def test_a_key_history_is_read_as_it_was_built(on_card: int, off_card: int, url: str) -> None:
    history = KeyHistory(on_card, off_card, url if off_card else "")
    if on_card + off_card <= objects.MAX_RETIRED:
        assert objects.parse_key_history(objects.build_key_history(history)) == history


def test_a_key_history_without_certificates_elsewhere_has_no_url() -> None:
    assert objects.build_key_history(KeyHistory(3)) == bytes.fromhex("C10103C20100FE00")


@pytest.mark.parametrize("damaged", ["C10115", "C1010BC2010A", "C101", "C10101C10101"])
def test_a_damaged_key_history_is_told(damaged: str) -> None:
    with pytest.raises(CardError):
        objects.parse_key_history(bytes.fromhex(damaged))


CERTIFICATE_BYTES = st.binary(min_size=1, max_size=4000)


def compressed(stored: bytes, info: bytes = b"\x01") -> bytes:
    return tlv.encode(0x70, stored) + tlv.encode(0x71, info) + tlv.encode(0xFE)


@given(CERTIFICATE_BYTES)
def test_a_certificate_is_read_as_it_was_built(certificate: bytes) -> None:
    assert objects.certificate_in(objects.build_certificate(certificate)) == certificate
    assert objects.certificate_in(build_compressed_certificate(certificate)) == certificate


def test_a_container_is_certificate_info_and_error_detection() -> None:
    assert objects.build_certificate(b"\x30\x00") == bytes.fromhex("70023000710100FE00")


@pytest.mark.parametrize("info", [b"\x01", b"\x80", b"\x81"])
@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_every_way_that_cards_compress_is_read(info: bytes, pack: Callable[[bytes], bytes]) -> None:
    assert objects.certificate_in(compressed(pack(b"certificate"), info)) == b"certificate"


@pytest.mark.parametrize("container", ["", "7000710100FE00", "710100FE00", "7002", "700130700130"])
def test_a_container_without_a_certificate_is_told(container: str) -> None:
    with pytest.raises(CardError):
        objects.certificate_in(bytes.fromhex(container))


def test_a_container_without_info_is_taken_as_uncompressed() -> None:
    assert objects.certificate_in(bytes.fromhex("70023000")) == b"\x30\x00"


def test_a_small_object_that_unpacks_to_very_much_is_refused() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(CardError, match="longer than 16384"):
        objects.certificate_in(compressed(bomb))


def test_the_longest_certificate_is_still_read() -> None:
    longest = bytes(objects.MAX_CERTIFICATE)
    assert objects.certificate_in(compressed(gzip.compress(longest))) == longest
    with pytest.raises(CardError):
        objects.certificate_in(compressed(gzip.compress(longest + b"\0")))


@given(st.integers(0, 30))
def test_a_compressed_certificate_cut_short_is_refused(end: int) -> None:
    with pytest.raises(CardError):
        objects.certificate_in(compressed(gzip.compress(b"certificate")[:end]))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_certificate_or_refused(data: bytes) -> None:
    try:
        assert len(objects.certificate_in(compressed(data))) <= objects.MAX_CERTIFICATE
    except CardError:
        return
