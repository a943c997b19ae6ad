"""BER-TLV: what is read, what is refused, and that writing and reading agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.piv import tlv
from sra.piv.tlv import Element, TlvError

TAGS = st.sampled_from([0x30, 0x53, 0x70, 0x7C, 0x7E, 0x5F2F, 0x7F61, 0x5FC102, 0x5FC121])
VALUES = st.binary(max_size=70_000)


def test_elements_are_read_in_order() -> None:
    assert tlv.parse(bytes.fromhex("8200 810155 5F2F024000")) == (
        Element(0x82, b""),
        Element(0x81, b"\x55"),
        Element(0x5F2F, b"\x40\x00"),
    )


def test_nothing_is_no_elements() -> None:
    assert tlv.parse(b"") == ()


@pytest.mark.parametrize("written", ["53 02 AA BB", "53 81 02 AA BB", "53 82 00 02 AA BB", "53 83 00 00 02 AA BB"])
def test_longer_forms_of_a_length_are_read(written: str) -> None:
    assert tlv.unwrap(0x53, bytes.fromhex(written)) == b"\xaa\xbb"


@pytest.mark.parametrize(
    ("size", "header"), [(0, "5300"), (127, "537F"), (128, "538180"), (255, "5381FF"), (256, "53820100")]
)
def test_the_shortest_form_of_a_length_is_written(size: int, header: str) -> None:
    assert tlv.encode(0x53, bytes(size)) == bytes.fromhex(header) + bytes(size)


@pytest.mark.parametrize(
    "damaged",
    [
        "53",  # no length
        "5301",  # no value
        "530200",  # a short value
        "5380 0000",  # indefinite
        "5381",  # half a length
        "538200",  # half a length
        "5384 00000001 00",  # a length of four bytes
        "53FF",  # the reserved length
        "5F",  # half a tag
        "5FC1",  # half a tag
        "5FC1828300",  # a tag of four bytes
        "5300 53",  # something left over
    ],
)
def test_damaged_bytes_are_refused(damaged: str) -> None:
    with pytest.raises(TlvError):
        tlv.parse(bytes.fromhex(damaged))


def test_more_elements_than_any_template_has_are_refused() -> None:
    assert len(tlv.parse(b"\x53\x00" * tlv.MAX_ELEMENTS)) == tlv.MAX_ELEMENTS
    with pytest.raises(TlvError):
        tlv.parse(b"\x53\x00" * (tlv.MAX_ELEMENTS + 1))


@pytest.mark.parametrize("other", ["", "5400", "53005300", "5300FF"])
def test_unwrap_takes_one_element_of_that_tag_only(other: str) -> None:
    with pytest.raises(TlvError):
        tlv.unwrap(0x53, bytes.fromhex(other))


def test_fields_are_refused_when_a_tag_comes_twice() -> None:
    assert tlv.fields(bytes.fromhex("8200810155")) == {0x82: b"", 0x81: b"\x55"}
    with pytest.raises(TlvError):
        tlv.fields(bytes.fromhex("82008200"))


@given(st.lists(st.builds(Element, TAGS, VALUES), max_size=5))
def test_what_was_written_is_read(elements: list[Element]) -> None:
    written = b"".join(tlv.encode(element.tag, element.value) for element in elements)
    assert tlv.parse(written) == tuple(elements)


@given(TAGS, st.binary(max_size=300))
def test_an_element_cut_short_anywhere_is_refused(tag: int, value: bytes) -> None:
    written = tlv.encode(tag, value)
    for end in range(1, len(written)):
        with pytest.raises(TlvError):
            tlv.parse(written[:end])


@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        elements = tlv.parse(data)
    except TlvError:
        return
    assert sum(len(element.value) + 2 for element in elements) <= len(data)
