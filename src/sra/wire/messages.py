"""The messages, one struct each (docs/wire-protocol.md).

A *question* has exactly one answer, of the types in ``ANSWERS``; a *notice* has none. Everything is decoded strictly:
an unknown field, a missing one or a value out of bounds breaks the protocol. Only ``Hello`` lets unknown fields pass,
so that a later version can still be told what this side speaks.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from sra.errors import RefusalCode
from sra.piv.keys import KeyReply, KeyRequest, PinReply, PinRequest
from sra.piv.objects import CardContents

VERSIONS = (1,)
"""The protocol versions that this side speaks."""

ALPN = "sra/1"
"""The TLS application protocol of a session."""
SCREEN_ALPN = "sra-screen/1"
"""That of a screen's stream: a ticket, then the viewer's and the screen server's bytes."""

NONCE_BYTES = 32
TICKET_BYTES = 32
MAX_CERTIFICATE = 16384
"""Bytes of a card's certificate; SP 800-73-4 allows 1,856."""
MAX_SECONDS = 7 * 24 * 3600
"""A week: no limit of a session is longer."""
MAX_TEXT = 1000
"""Characters of a text meant for the user."""

KEY_DEADLINE_OF_SRAD = 170.0
KEY_DEADLINE_OF_VIRTUAL_CARD = 175.0
KEY_DEADLINE_OF_READER = 180.0
"""Seconds for a key use or a PIN question: how long srad waits for the admin, the virtual card for srad, and the driver
for the virtual card (``ANSWER_LIMIT_MS`` in reader/link_time.h).

In this order, so that an unanswered question ends as a refusal, with its reason, and not as a card that is gone.
"""

Nonce = Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
ShortText = Annotated[str, Meta(max_length=255)]
Number = Annotated[int, Meta(ge=0, le=2**32 - 1)]
SESSION_BYTES = 4
"""Bytes of a session's identifier, which is written in hexadecimal: enough to tell apart all that two logs have."""
SessionId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{8}\Z")]


class Hello(Struct, frozen=True, tag="hello"):
    """Admin: the versions that it speaks, a nonce, the card's 9A certificate (DER)."""

    versions: Annotated[tuple[int, ...], Meta(min_length=1, max_length=16)]
    nonce: Nonce
    certificate: Annotated[bytes, Meta(max_length=MAX_CERTIFICATE)]


class Challenge(Struct, frozen=True, forbid_unknown_fields=True, tag="challenge"):
    """Remote: the version chosen, and its nonce."""

    version: int
    nonce: Nonce


class Proof(Struct, frozen=True, forbid_unknown_fields=True, tag="proof"):
    """Admin: the challenge's statement, signed by the card's 9A key (``identity.challenges``)."""

    signature: Annotated[bytes, Meta(max_length=512)]


class SessionLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """What the remote's owner demands, in seconds; 0 is no demand. The admin's own settings may be stricter."""

    pin_cache: Annotated[int, Meta(ge=0, le=MAX_SECONDS)]
    """How long the admin's side may keep the PIN; only meant if ``limit_pin_cache``."""
    limit_pin_cache: bool
    idle: Annotated[int, Meta(ge=0, le=MAX_SECONDS)]
    """Without a key use for so long, the connection ends."""
    total: Annotated[int, Meta(ge=0, le=MAX_SECONDS)]
    """After so long the connection ends."""


NO_LIMITS = SessionLimits(pin_cache=0, limit_pin_cache=False, idle=0, total=0)


class Welcome(Struct, frozen=True, forbid_unknown_fields=True, tag="welcome"):
    """Remote: the connection is authenticated for ``account``; ``host`` is the remote's own name.

    ``session`` is what both sides' logs call it from now on.
    """

    account: ShortText
    host: ShortText
    limits: SessionLimits
    session: SessionId


class Refusal(Struct, frozen=True, forbid_unknown_fields=True, tag="refusal"):
    """Either: no, and why. Ends the connection before Welcome, and only the question after it."""

    code: RefusalCode
    text: Text


class InsertCard(Struct, frozen=True, forbid_unknown_fields=True, tag="insert-card"):
    """Admin: put this card into a free reader, with or without a PIN pad."""

    contents: CardContents
    pin_pad: bool


class CardInserted(Struct, frozen=True, forbid_unknown_fields=True, tag="card-inserted"):
    """Remote: the card is in that reader."""

    reader: ShortText


class EjectCard(Struct, frozen=True, forbid_unknown_fields=True, tag="eject-card"):
    """Either: the card is out. The side that gets it first sends it back, so that both know."""

    reason: Text


class ScreenRequest(Struct, frozen=True, forbid_unknown_fields=True, tag="screen-request"):
    """Admin: share the screen, to be watched only, or to be worked at."""

    view_only: bool


class ScreenGrant(Struct, frozen=True, forbid_unknown_fields=True, tag="screen-grant"):
    """Remote: what opens the stream, and what opens the screen at its end; each works once, and not for long.

    ``recorded``: the remote's owner has the screen recorded, from now on.
    """

    ticket: Annotated[bytes, Meta(min_length=TICKET_BYTES, max_length=TICKET_BYTES)]
    username: ShortText
    password: Annotated[str, Meta(min_length=16, max_length=63)]
    recorded: bool


class NoScreen(Struct, frozen=True, forbid_unknown_fields=True, tag="no-screen"):
    """Remote: the screen is not shared, and why. A Refusal would say that the card is not inserted, if one was."""

    code: RefusalCode
    text: Text


class Remark(Struct, frozen=True, forbid_unknown_fields=True, tag="remark"):
    """Remote: what it says that the next requests are for. Its word, and no more."""

    text: ShortText


class Cancel(Struct, frozen=True, forbid_unknown_fields=True, tag="cancel"):
    """Remote: nothing waits for that question any more. It still has to be answered."""

    question: Number


class Ping(Struct, frozen=True, forbid_unknown_fields=True, tag="ping"):
    """Either: are you there?"""


class Pong(Struct, frozen=True, forbid_unknown_fields=True, tag="pong"):
    """Either: yes."""


class Goodbye(Struct, frozen=True, forbid_unknown_fields=True, tag="goodbye"):
    """Either: the last message. ``final`` means: don't connect again by yourself."""

    reason: Text
    final: bool


class Attach(Struct, frozen=True, forbid_unknown_fields=True, tag="attach"):
    """Virtual card, on port 4117 only: the secret, and the number of the reader that it serves."""

    secret: Annotated[bytes, Meta(min_length=32, max_length=32)]
    reader: Annotated[int, Meta(ge=0, le=15)]


class Attached(Struct, frozen=True, forbid_unknown_fields=True, tag="attached"):
    """srad, on port 4117 only: the secret was right."""


Message = (
    Hello
    | Challenge
    | Proof
    | Welcome
    | Refusal
    | InsertCard
    | CardInserted
    | EjectCard
    | ScreenRequest
    | ScreenGrant
    | NoScreen
    | KeyRequest
    | KeyReply
    | PinRequest
    | PinReply
    | Remark
    | Cancel
    | Ping
    | Pong
    | Goodbye
    | Attach
    | Attached
)

ANSWERS: dict[type[Message], tuple[type[Message], ...]] = {
    Hello: (Challenge, Refusal),
    Proof: (Welcome, Refusal),
    InsertCard: (CardInserted, Refusal),
    ScreenRequest: (ScreenGrant, NoScreen),
    KeyRequest: (KeyReply, Refusal),
    PinRequest: (PinReply, Refusal),
    Ping: (Pong,),
    Attach: (Attached,),
}
"""What may answer each question; a message that is neither here nor an answer is a notice."""

ANSWER_TYPES = frozenset(answer for answers in ANSWERS.values() for answer in answers)
