"""BER-TLV, as far as PIV uses it (ISO 7816-4 section 5.2.2; SP 800-73-4 part 2, section 2). No I/O.

Strict in what ends where: an element never reaches past its surroundings and nothing is left over. The shortest form
of a length is what we write; a longer one is read, since cards that write ``82 00 3B`` exist.
"""

from __future__ import annotations

from dataclasses import dataclass

from sra.errors import CardError

MAX_TAG_BYTES = 3
"""The longest tags of PIV are those of its data objects, ``5FC1xx``."""

MAX_LENGTH_BYTES = 3
"""Bytes after the first one of a length: 16 MiB, far more than an extended APDU carries."""

MAX_ELEMENTS = 64
"""Elements side by side: no template of PIV has more than 20, and a parser should not work for free."""

_LONG_FORM = 0x80
_MANY_BYTE_TAG = 0x1F


class TlvError(CardError):
    """These bytes are not the BER-TLV that they should be."""


@dataclass(frozen=True)
class Element:
    """One tag, as the number that its bytes make (``0x7E``, ``0x5FC102``), and its value."""

    tag: int
    value: bytes


def parse(data: bytes) -> tuple[Element, ...]:
    """All the elements that ``data`` consists of, in order; raise ``TlvError`` if it isn't whole elements."""
    elements: list[Element] = []
    at = 0
    while at < len(data):
        if len(elements) == MAX_ELEMENTS:
            raise TlvError(f"more than {MAX_ELEMENTS} elements in one template")
        tag, at = _tag(data, at)
        length, at = _length(data, at)
        if length > len(data) - at:
            raise TlvError(f"the element {tag:X} is cut short")
        elements.append(Element(tag, data[at : at + length]))
        at += length
    return tuple(elements)


def unwrap(tag: int, data: bytes) -> bytes:
    """The value of the one element, with that tag, that ``data`` is; raise ``TlvError`` if it is anything else."""
    elements = parse(data)
    if len(elements) != 1 or elements[0].tag != tag:
        raise TlvError(f"expected one element {tag:X}")
    return elements[0].value


def fields(data: bytes) -> dict[int, bytes]:
    """The elements of ``data`` by tag; raise ``TlvError`` if a tag comes twice."""
    elements = parse(data)
    by_tag = {element.tag: element.value for element in elements}
    if len(by_tag) != len(elements):
        raise TlvError("a tag comes twice")
    return by_tag


def encode(tag: int, value: bytes = b"") -> bytes:
    """One element, its length in the shortest form."""
    length = len(value)
    octets = length.to_bytes((length.bit_length() + 7) // 8 or 1, "big")
    first = b"" if length < _LONG_FORM else bytes([_LONG_FORM | len(octets)])
    return tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big") + first + octets + value


def _tag(data: bytes, at: int) -> tuple[int, int]:
    """The tag at ``at`` and where its length begins."""
    end = at + 1
    if data[at] & _MANY_BYTE_TAG == _MANY_BYTE_TAG:
        while end < len(data) and data[end] & 0x80:
            end += 1
        end += 1
    if end > len(data) or end - at > MAX_TAG_BYTES:
        raise TlvError("a tag is cut short or too long")
    return int.from_bytes(data[at:end], "big"), end


def _length(data: bytes, at: int) -> tuple[int, int]:
    """The length at ``at`` and where its value begins."""
    if at >= len(data):
        raise TlvError("a length is missing")
    first, at = data[at], at + 1
    if first < _LONG_FORM:
        return first, at
    end = at + (first & ~_LONG_FORM)
    if not at < end <= at + MAX_LENGTH_BYTES or end > len(data):
        raise TlvError("a length is indefinite, cut short or too long")
    return int.from_bytes(data[at:end], "big"), end
