"""A hostile remote has another remote's challenge "decrypted", which signs it: every way to have it done is shut."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from sra.admin.guard.decrypting_keys import MAY_SIGN, UNREADABLE, withheld
from sra.admin.guard.key_rules import KeyRule
from sra.admin.guard.lending import GuardSettings
from sra.errors import RefusedError
from sra.identity import certificates, challenges
from sra.piv.keys import Algorithm, KeyReply, KeyRequest, Operation, PinRequest, Slot
from sra.piv.objects import CERTIFICATES, CardContents, build_certificate
from sra.transport.channel import Channel
from tests.admin.connecting import connect
from tests.admin.scripted_remote import let_in, take_card
from tests.admin.watching import Watching
from tests.chains import usage
from tests.loopback import Door, listening
from tests.memory_card import MemoryCard, make_certificate, private_key, sign, usual_usage

KIND = Algorithm.RSA_2048
STATEMENT = bytes(range(32))
"""What another remote wants to be signed."""
ALLOW = (KeyRule("*", ("9A", "9D", "82"), "allow"),)
each_slot = pytest.mark.parametrize("slot", [Slot.KEY_MANAGEMENT, Slot.RETIRED_1], ids=lambda slot: slot.name)


@dataclass(frozen=True)
class Holding:
    """What a slot that decrypts holds: the key of which slot, and the certificate of which key with which usage."""

    key_of: Slot | None = None
    certificate_of: Slot | None = None
    usage: x509.KeyUsage | None = None
    is_readable: bool = True


class OddCard(MemoryCard):
    """A card with this in that slot."""

    def __init__(self, slot: Slot, holding: Holding) -> None:
        super().__init__({Slot.AUTHENTICATION: KIND, Slot.SIGNATURE: KIND, slot: KIND})
        self._odd = slot
        self._key_of = holding.key_of or slot
        key = private_key(KIND, self.owner, holding.certificate_of or slot)
        self.certificate = certificates.parse(make_certificate(key, key_usage=holding.usage))
        der = self.certificate.der if holding.is_readable else b"\x30\x03\x02\x01\x00"
        objects = self.contents.objects | {CERTIFICATES[slot]: build_certificate(der)}
        self.contents = CardContents(objects, self.contents.keys)

    async def use_key(self, request: KeyRequest) -> KeyReply:
        if request.slot is not self._odd:
            return await super().use_key(request)
        self.uses.append(request)
        return KeyReply(sign(KeyRequest(self._key_of, request.algorithm, Operation.SIGN, request.input), self.owner))


SIGNS, BOTH, DECRYPTS = (
    usage("digital_signature"),
    usage("digital_signature", "key_encipherment"),
    usage("key_encipherment"),
)
WAYS = {
    "a certificate that says nothing": Holding(),
    "one that says that its key signs": Holding(usage=SIGNS),
    "one that says both": Holding(usage=BOTH),
    "one that can't be read": Holding(is_readable=False),
    "9A's key, said openly": Holding(Slot.AUTHENTICATION, Slot.AUTHENTICATION, DECRYPTS),
    "9A's key, its certificate can't be read": Holding(Slot.AUTHENTICATION, is_readable=False),
    "9A's key under another key's certificate": Holding(Slot.AUTHENTICATION, usage=DECRYPTS),
    "9C's key, said openly": Holding(Slot.SIGNATURE, Slot.SIGNATURE, DECRYPTS),
    "9C's key under another key's certificate": Holding(Slot.SIGNATURE, usage=DECRYPTS),
}


async def stolen(channel: Channel, slot: Slot, certificate: certificates.CardCertificate) -> bytes:
    """The signature of the other remote's challenge, had by one blinded decryption."""
    key = certificate.public_key
    assert isinstance(key, rsa.RSAPublicKey)
    numbers, size = key.public_numbers(), KIND.size
    factor = secrets.randbelow(numbers.n)
    challenge = int.from_bytes(challenges.key_request(KIND, STATEMENT).input, "big")
    blinded = (challenge * pow(factor, numbers.e, numbers.n) % numbers.n).to_bytes(size, "big")
    await channel.ask(PinRequest(None))
    reply = await channel.ask(KeyRequest(slot, KIND, Operation.DECRYPT, blinded))
    assert isinstance(reply, KeyReply)
    return (int.from_bytes(reply.output, "big") * pow(factor, -1, numbers.n) % numbers.n).to_bytes(size, "big")


async def outcome(card: MemoryCard, slot: Slot, of: Slot, terms: GuardSettings) -> tuple[str, Watching]:
    """What comes of the attack on a card: a proof by the key of the slot ``of``, or why not."""
    watching = Watching()
    certificate = certificates.parse(make_certificate(private_key(KIND, card.owner, of)))
    door = Door()
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(connect(port, card, watching=watching, terms=terms))
        channel = await door.next()
        await let_in(channel)
        session = await connecting
        inserting = asyncio.create_task(session.insert({Slot.AUTHENTICATION, slot}))
        await take_card(channel)
        await inserting
        try:
            forged = await stolen(channel, slot, certificate)
            said = "proven" if challenges.is_proven(certificate, STATEMENT, forged) else "not proven"
        except RefusedError as error:
            said = error.text
        await channel.close("over")
        await session.close("over")
    return said, watching


@each_slot
@pytest.mark.parametrize("way", WAYS)
async def test_no_proof_is_decrypted(way: str, slot: Slot) -> None:
    holding = WAYS[way]
    said, watching = await outcome(OddCard(slot, holding), slot, holding.key_of or slot, GuardSettings(rules=ALLOW))
    assert "was not inserted" in said or "has a key that signs" in said, said
    told = [event for event in watching.events if type(event).__name__ in ("Withheld", "Refused")]
    assert told, "the person is told"


async def test_where_the_person_lets_any_block_be_signed_such_a_key_decrypts_too() -> None:
    slot = Slot.KEY_MANAGEMENT
    said, _ = await outcome(OddCard(slot, Holding()), slot, slot, GuardSettings(rules=ALLOW, allow_raw_rsa=True))
    assert said == "proven", "the attack works where nothing is in its way"


async def test_a_key_that_only_decrypts_is_lent() -> None:
    slot = Slot.KEY_MANAGEMENT
    said, watching = await outcome(OddCard(slot, Holding(usage=DECRYPTS)), slot, slot, GuardSettings(rules=ALLOW))
    assert said == "proven", "by a certificate that every remote refuses: it has no digitalSignature"
    assert not [event for event in watching.events if type(event).__name__ == "Withheld"]


@each_slot
@pytest.mark.parametrize("allow_raw_rsa", [False, True])
def test_the_reasons(slot: Slot, allow_raw_rsa: bool) -> None:
    reasons = {
        way: withheld(OddCard(slot, holding).contents, {slot}, allow_raw_rsa=allow_raw_rsa).get(slot, "")
        for way, holding in WAYS.items()
    }
    assert reasons["one that can't be read"] == reasons["9A's key, its certificate can't be read"] == UNREADABLE
    assert reasons["9A's key, said openly"].startswith("it is the same key as 9A")
    assert reasons["9C's key, said openly"].startswith("it is the same key as 9C")
    for way in ("a certificate that says nothing", "one that says that its key signs", "one that says both"):
        assert reasons[way] == ("" if allow_raw_rsa else MAY_SIGN)


def test_a_curve_derives_whatever_its_certificate_says_but_not_with_9as_key() -> None:
    card = MemoryCard({Slot.AUTHENTICATION: Algorithm.P256, Slot.KEY_MANAGEMENT: Algorithm.P256})
    for of, key_usage, expected in (
        (Slot.KEY_MANAGEMENT, None, False),
        (Slot.AUTHENTICATION, usual_usage(Slot.KEY_MANAGEMENT, Algorithm.P256), True),
    ):
        der = make_certificate(private_key(Algorithm.P256, card.owner, of), key_usage=key_usage)
        objects = card.contents.objects | {CERTIFICATES[Slot.KEY_MANAGEMENT]: build_certificate(der)}
        found = withheld(CardContents(objects, card.contents.keys), set(Slot), allow_raw_rsa=False)
        assert (Slot.KEY_MANAGEMENT in found) is expected
