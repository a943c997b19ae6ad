"""A frame: a 4-byte big-endian length and a msgpack body ``[number, message]``."""

from __future__ import annotations

import msgspec

from sra.errors import ProtocolError
from sra.wire.messages import Message, Number

HEADER_BYTES = 4

MAX_HANDSHAKE = 32 * 1024
"""Bytes that a stranger may make us keep: a Hello with the largest certificate, twice over."""
MAX_FROM_ADMIN = 256 * 1024
"""Bytes from an authenticated admin: an InsertCard with 24 certificates of 8 KiB and the rest."""
MAX_FROM_REMOTE = 8 * 1024
"""Bytes from a remote, which only ever sends short questions and texts."""


class Frame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One message. ``number`` is that of the question asked or answered, 0 for a notice."""

    number: Number
    message: Message


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame, strict=True)


def encode(frame: Frame) -> bytes:
    """The frame's bytes, header first."""
    body = _encoder.encode(frame)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def decode(received: bytearray, limit: int) -> Frame | None:
    """Take the first frame out of ``received``; ``None`` while it is incomplete.

    Raises ``ProtocolError`` for a body of no or more than ``limit`` bytes (as soon as the header is there), and for
    one that is not exactly a frame.
    """
    if len(received) < HEADER_BYTES:
        return None
    length = int.from_bytes(received[:HEADER_BYTES], "big")
    # By the header alone, before a byte of the body is waited for: a length of 4 GiB costs nothing here.
    if not 0 < length <= limit:
        raise ProtocolError(f"a frame of {length} bytes, where 1 to {limit} are allowed")
    if len(received) < HEADER_BYTES + length:
        return None
    body = bytes(received[HEADER_BYTES : HEADER_BYTES + length])
    del received[: HEADER_BYTES + length]
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The decoder's own text could quote what the peer sent, a typed PIN among it.
        raise ProtocolError("a frame that is not a message of this protocol") from None
