"""The PIN pad of a reader: how it says that it has one, and what it is asked (PC/SC part 10). No I/O."""

from __future__ import annotations

import struct

GET_FEATURES = 3400
"""CM_IOCTL_GET_FEATURE_REQUEST (PC/SC part 10, section 2.2), as SCARD_CTL_CODE takes it."""

_VERIFY_PIN_DIRECT = 0x06
_FEATURE = struct.Struct(">BBI")
"""PCSC_TLV_STRUCTURE: the feature, 4, and the control code that asks for it."""

_SECONDS = 60
"""For the first digit and between two: as long as a person needs to find the reader."""

_VERIFY = bytes.fromhex("0020008008FFFFFFFFFFFFFFFF")
"""VERIFY of the application PIN, into which the reader puts what is typed."""

_STRUCTURE = struct.Struct("=BBBBBHBBHB3sI")


def verify_control(features: bytes) -> int | None:
    """The control code by which the reader verifies a PIN itself; ``None`` if it has no such feature."""
    whole = len(features) - len(features) % _FEATURE.size
    found = {feature: code for feature, _, code in _FEATURE.iter_unpack(features[:whole])}
    return found.get(_VERIFY_PIN_DIRECT)


def verify_structure() -> bytes:
    """The PIN_VERIFY_STRUCTURE (section 2.5.2) for a PIV card, in the machine's byte order."""
    return (
        _STRUCTURE.pack(
            _SECONDS,
            _SECONDS,
            0x82,  # the PIN begins at byte 0, left justified, in ASCII
            0x08,  # in a block of 8 bytes, without its length
            0x00,
            0x0608,  # 6 to 8 digits
            0x02,  # ended by the OK key
            0x01,  # one message,
            0x0409,  # in English,
            0x00,  # the first
            bytes(3),
            len(_VERIFY),
        )
        + _VERIFY
    )
