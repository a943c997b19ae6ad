"""A signed configuration profile: the profile inside its CMS envelope (RFC 5652, 5.1).

The envelope's signature is not checked here: an issuer vouches for a license by the license's own signature, wherever
it travels, and macOS checks the envelope itself. Envelopes come as DER, as BER with indefinite lengths, and as PEM.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

MAX_DEPTH = 16
"""Levels of nesting: the content is on the sixth."""

_PEM_BEGIN = b"-----BEGIN "
_SEQUENCE, _EXPLICIT_0, _OCTETS, _CONSTRUCTED_OCTETS = 0x30, 0xA0, 0x04, 0x24
_CONSTRUCTED = 0x20
_PATH = (
    (0, _SEQUENCE),  # ContentInfo
    (1, _EXPLICIT_0),  # its content
    (0, _SEQUENCE),  # SignedData
    (2, _SEQUENCE),  # encapContentInfo, after version and digestAlgorithms
    (1, _EXPLICIT_0),  # eContent
)
"""(which element, its tag) from the outside to the content."""


def unwrap(data: bytes) -> bytes:
    """The content of a CMS signed-data envelope; other data as it is. Raises ``ValueError`` for a broken envelope."""
    if data.startswith(_PEM_BEGIN):
        data = _from_pem(data)
    if data[:1] != bytes([_SEQUENCE]):
        return data
    inside = data
    for position, tag in _PATH:
        inside = _nth(inside, position, tag)
    return _octets(inside)


def _from_pem(data: bytes) -> bytes:
    """The bytes of the first PEM block, whatever it is called."""
    lines = data.decode("ascii").splitlines()
    end = next((number for number, line in enumerate(lines) if line.startswith("-----END ")), 0)
    return base64.b64decode("".join(lines[1:end]), validate=True)


def _nth(data: bytes, position: int, tag: int) -> bytes:
    for number, (found, content) in enumerate(_elements(data)):
        if number == position:
            if found != tag:
                break
            return content
    raise ValueError("this is not a signed profile")


def _octets(data: bytes) -> bytes:
    """The contents of an OCTET STRING, in one piece or in several."""
    ((tag, content), *more) = _elements(data)
    if tag == _CONSTRUCTED_OCTETS and not more:
        parts = list(_elements(content))
        if all(part == _OCTETS for part, _ in parts):
            return b"".join(piece for _, piece in parts)
    if tag == _OCTETS and not more:
        return content
    raise ValueError("the signed profile holds no text")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements that stand one after the other, each with its tag and content."""
    at = 0
    while at < len(data):
        begin, end, after = _extent(data, at, MAX_DEPTH)
        yield data[at], data[begin:end]
        at = after


def _extent(data: bytes, at: int, depth: int) -> tuple[int, int, int]:
    """Where the content of the element at ``at`` begins and ends, and where the next element is (X.690, 8.1.3)."""
    if len(data) < at + 2 or depth == 0:
        raise ValueError("the envelope ends too early, or is nested too deeply")
    begin, length = at + 2, data[at + 1]
    if length == 0x80 and data[at] & _CONSTRUCTED:
        end = begin
        while data[end : end + 2] != b"\0\0":
            end = _extent(data, end, depth - 1)[2]
        return begin, end, end + 2
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(data[at + 2 : begin], "big")
    if length > len(data) - begin:
        raise ValueError("the envelope ends too early")
    return begin, begin + length, begin + length
