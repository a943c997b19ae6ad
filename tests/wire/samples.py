"""One valid message of each kind."""

from __future__ import annotations

from typing import get_args

from sra.errors import RefusalCode
from sra.piv.keys import (
    Algorithm,
    KeyDescription,
    KeyReply,
    KeyRequest,
    Operation,
    PinOutcome,
    PinPolicy,
    PinReply,
    PinRequest,
    Slot,
)
from sra.piv.objects import CHUID, CardContents
from sra.wire import messages
from sra.wire.messages import Message

NONCE = bytes(range(32))
CONTENTS = CardContents({CHUID: b"chuid"}, (KeyDescription(Slot.AUTHENTICATION, Algorithm.RSA_2048, PinPolicy.ONCE),))
KEY_REQUEST = KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, Operation.SIGN, bytes(32))

SAMPLES: tuple[Message, ...] = (
    messages.Hello((1, 2), NONCE, b"certificate"),
    messages.Challenge(1, NONCE),
    messages.Proof(b"signature"),
    messages.Welcome("ann", "remote", messages.NO_LIMITS, "1a2b3c4d"),
    messages.Refusal(RefusalCode.PROOF, "no"),
    messages.InsertCard(CONTENTS, pin_pad=True),
    messages.CardInserted("reader 0"),
    messages.EjectCard("out"),
    messages.ScreenRequest(view_only=False),
    messages.ScreenGrant(NONCE, "_srascreen", "a password of 24 letters", recorded=True),
    messages.NoScreen(RefusalCode.NO_SCREEN, "no screen"),
    KEY_REQUEST,
    KeyReply(b"output"),
    PinRequest(None),
    PinReply(PinOutcome.VERIFIED, 3),
    messages.Remark("sudo for ann"),
    messages.Cancel(7),
    messages.Ping(),
    messages.Pong(),
    messages.Goodbye("bye", final=True),
    messages.Attach(NONCE, 1),
    messages.Attached(),
)
KINDS: tuple[type[Message], ...] = get_args(Message)


def sample(kind: type[Message]) -> Message:
    return next(message for message in SAMPLES if type(message) is kind)
