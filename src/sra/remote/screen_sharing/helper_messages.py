"""What srad and PAM may ask of the root helper ``sra-screen``, one packet each, and nothing else.

The socket tells which user asks (SO_PEERCRED). A grant belongs to the connection that asked for it and ends with it:
a daemon that dies leaves nothing open.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sra.errors import ProtocolError

MAX_PACKET = 4096
"""Bytes of a request or a reply."""

Line = Annotated[str, Meta(max_length=400)]


class Grant(Struct, frozen=True, forbid_unknown_fields=True, tag="grant"):
    """srad: have the screen server run, and make a password for it. ``by`` is named on the shared screen."""

    view_only: bool
    by: Line


class Open(Struct, frozen=True, forbid_unknown_fields=True, tag="open"):
    """srad: a connection to the screen server of this grant."""


class Lock(Struct, frozen=True, forbid_unknown_fields=True, tag="lock"):
    """srad: the grant is over."""


class Collect(Struct, frozen=True, forbid_unknown_fields=True, tag="collect"):
    """srad: a recording that is whole and not in the audit trail yet; the answer comes when there is one."""


class Written(Struct, frozen=True, forbid_unknown_fields=True, tag="written"):
    """srad: the recording of this name is in the audit trail now."""

    name: Line


class Burn(Struct, frozen=True, forbid_unknown_fields=True, tag="burn"):
    """PAM, in the transaction that has just found the password right: it is never right again."""


class Granted(Struct, frozen=True, forbid_unknown_fields=True, tag="granted"):
    """The password, once, and how many seconds it lives unused; ``recording``: a name if the screen is recorded."""

    username: Line
    password: Line
    seconds: int
    recording: Line = ""


class Done(Struct, frozen=True, forbid_unknown_fields=True, tag="done"):
    """It is done; after ``Open``, the connection's descriptor comes with it."""


class Failed(Struct, frozen=True, forbid_unknown_fields=True, tag="failed"):
    """It is not, and why; ``is_refusal``: the owner's policy or a person said no."""

    reason: Line
    is_refusal: bool = False


class Ended(Struct, frozen=True, forbid_unknown_fields=True, tag="ended"):
    """Unasked: the grant is over, and why."""

    reason: Line


class Recorded(Struct, frozen=True, forbid_unknown_fields=True, tag="recorded"):
    """A recording: its size in bytes, and SHA-256 (hexadecimal)."""

    name: Line
    size: int
    sha256: Line


Request = Grant | Open | Lock | Burn | Collect | Written
HelperReply = Granted | Done | Failed | Ended | Recorded

_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request, strict=True)
_replies: msgspec.json.Decoder[HelperReply] = msgspec.json.Decoder(HelperReply, strict=True)
encode = msgspec.json.encode


def decode_request(packet: bytes) -> Request:
    """The request in a packet; ``ProtocolError`` for anything else."""
    try:
        return _requests.decode(packet)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProtocolError("a request that sra-screen does not know") from None


def decode_reply(packet: bytes) -> HelperReply:
    """The reply in a packet; ``ProtocolError`` for anything else."""
    try:
        return _replies.decode(packet)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProtocolError("a reply that is none of sra-screen's") from None
