"""Certificate containers, plain and compressed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import CardError
from sra.piv import certificate_objects as certificates
from sra.piv import tlv

CERTIFICATES = st.binary(min_size=1, max_size=4000)


def compressed(stored: bytes, info: bytes = b"\x01") -> bytes:
    return tlv.encode(0x70, stored) + tlv.encode(0x71, info) + tlv.encode(0xFE)


@given(CERTIFICATES)
def test_a_certificate_is_read_as_it_was_built(certificate: bytes) -> None:
    assert certificates.certificate_in(certificates.build_certificate(certificate)) == certificate
    assert certificates.certificate_in(certificates.build_compressed_certificate(certificate)) == certificate


def test_a_container_is_certificate_info_and_error_detection() -> None:
    assert certificates.build_certificate(b"\x30\x00") == bytes.fromhex("70023000710100FE00")


@pytest.mark.parametrize("info", [b"\x01", b"\x80", b"\x81"])
@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_every_way_that_cards_compress_is_read(info: bytes, pack: Callable[[bytes], bytes]) -> None:
    assert certificates.certificate_in(compressed(pack(b"certificate"), info)) == b"certificate"


@pytest.mark.parametrize("container", ["", "7000710100FE00", "710100FE00", "7002", "700130700130"])
def test_a_container_without_a_certificate_is_told(container: str) -> None:
    with pytest.raises(CardError):
        certificates.certificate_in(bytes.fromhex(container))


def test_a_container_without_info_is_taken_as_uncompressed() -> None:
    assert certificates.certificate_in(bytes.fromhex("70023000")) == b"\x30\x00"


def test_a_small_object_that_unpacks_to_very_much_is_refused() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(CardError, match="longer than 16384"):
        certificates.certificate_in(compressed(bomb))


def test_the_longest_certificate_is_still_read() -> None:
    longest = bytes(certificates.MAX_CERTIFICATE)
    assert certificates.certificate_in(compressed(gzip.compress(longest))) == longest
    with pytest.raises(CardError):
        certificates.certificate_in(compressed(gzip.compress(longest + b"\0")))


@given(st.integers(0, 30))
def test_a_compressed_certificate_cut_short_is_refused(end: int) -> None:
    with pytest.raises(CardError):
        certificates.certificate_in(compressed(gzip.compress(b"certificate")[:end]))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_certificate_or_refused(data: bytes) -> None:
    try:
        assert len(certificates.certificate_in(compressed(data))) <= certificates.MAX_CERTIFICATE
    except CardError:
        return
