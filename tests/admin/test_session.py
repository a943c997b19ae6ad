"""Connecting to a remote: whom the admin trusts with what, in which order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sra.admin import session as session_module
from sra.admin.events import Connected
from sra.admin.guard.questions import PinGiven, PinQuestion
from sra.admin.session import RemoteEndpoint
from sra.errors import (
    KeyMissingError,
    LinkError,
    PinWrongError,
    ProtocolError,
    RefusalCode,
    RefusedError,
    UntrustedRemoteError,
)
from sra.identity import certificates, challenges
from sra.piv.keys import Algorithm, KeyRequest, Operation, Slot
from sra.transport.channel import Channel
from sra.transport.known_remotes import KnownRemotes
from sra.transport.tls_trust import TrustPolicy
from sra.wire.messages import (
    Challenge,
    Goodbye,
    Hello,
    Proof,
    Refusal,
)
from tests.admin.connecting import Pins, connect, remote_at
from tests.admin.scripted_remote import ANY_PROOF, WELCOME, expect, let_in
from tests.admin.watching import Watching
from tests.loopback import HOST, Door, identity, impostor, listening, until
from tests.memory_card import PIN, MemoryCard
from tests.memory_remote import certificate_of
from tests.piv_blocks import signing_input

FOUR_KEYS = {
    Slot.AUTHENTICATION: Algorithm.P256,
    Slot.SIGNATURE: Algorithm.P256,
    Slot.KEY_MANAGEMENT: Algorithm.P384,
    Slot.CARD_AUTHENTICATION: Algorithm.P256,
}
ONLY_9A = frozenset({Slot.AUTHENTICATION})


def request_for(slot: Slot) -> KeyRequest:
    return KeyRequest(slot, Algorithm.P256, Operation.SIGN, signing_input(Algorithm.P256, b"text"))


async def test_the_card_proves_itself_to_the_certificate_that_was_seen() -> None:
    card, watching, door = MemoryCard(), Watching(), Door()
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(connect(port, card, watching=watching))
        channel = await door.next()
        number, hello = await expect(channel, Hello)
        assert hello.versions == (1,)
        channel.answer(number, Challenge(1, bytes(range(32))))
        number, proof = await expect(channel, Proof)
        certificate = certificates.parse(hello.certificate)
        assert certificate == certificate_of(card)
        signed = challenges.statement(identity().certificate, bytes(range(32)), hello.nonce, hello.certificate)
        assert challenges.is_proven(certificate, signed, proof.signature)
        channel.answer(number, WELCOME)
        session = await connecting
        assert (session.account, session.host) == ("ann", "remote-host")
        assert watching.events == [Connected("ann", "remote-host", "1a2b3c4d")]
        await session.close("bye")


async def test_two_connections_have_two_nonces() -> None:
    nonces = set()
    door = Door()
    async with listening(door.welcome) as port:
        for _ in range(2):
            connecting = asyncio.create_task(connect(port, MemoryCard()))
            channel = await door.next()
            number, hello = await expect(channel, Hello)
            nonces.add(hello.nonce)
            channel.answer(number, Refusal(RefusalCode.VERSION, "no"))
            with pytest.raises(RefusedError):
                await connecting
    assert len(nonces) == 2


async def test_a_remote_that_is_not_trusted_gets_not_a_byte_and_no_pin_is_asked_for() -> None:
    pins, card = Pins(), MemoryCard()
    async with impostor() as (port, received):
        with pytest.raises(UntrustedRemoteError):
            await connect(port, card, pins=pins)
    assert received == b""
    assert pins.connecting == []
    assert card.uses == []


async def test_a_refusal_is_passed_on_and_the_connection_closed() -> None:
    door, pins = Door(), Pins()
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(connect(port, MemoryCard(), pins=pins))
        channel = await door.next()
        number, _ = await expect(channel, Hello)
        channel.answer(number, Refusal(RefusalCode.LICENSE, "No valid license."))
        with pytest.raises(RefusedError, match="No valid license") as refused:
            await connecting
        assert refused.value.code is RefusalCode.LICENSE
        assert pins.connecting == []
        await channel.wait_lost()


async def test_a_version_that_was_not_offered_breaks_the_protocol() -> None:
    door = Door()
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(connect(port, MemoryCard()))
        channel = await door.next()
        number, _ = await expect(channel, Hello)
        channel.answer(number, Challenge(2, bytes(32)))
        with pytest.raises(ProtocolError, match="version"):
            await connecting
        await channel.wait_lost()


async def test_a_card_without_a_9a_certificate_is_an_error_before_anything_is_sent() -> None:
    card = MemoryCard({Slot.SIGNATURE: Algorithm.P256})
    with pytest.raises(KeyMissingError, match="9A"):
        await connect(1, card)


async def test_a_wrong_pin_ends_the_connection_with_a_goodbye() -> None:
    door, card = Door(), MemoryCard()
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(connect(port, card, pins=Pins(b"999999")))
        channel = await door.next()
        number, _ = await expect(channel, Hello)
        channel.answer(number, ANY_PROOF)
        with pytest.raises(PinWrongError):
            await connecting
        await until(lambda: channel.goodbye is not None)
        assert card.verifications == [b"999999"]


async def test_a_card_that_forgot_its_pin_gets_it_again_for_the_proof() -> None:
    door, card, pins = Door(), MemoryCard(), Pins()
    async with listening(door.welcome) as port:
        for _ in range(2):
            connecting = asyncio.create_task(connect(port, card, pins=pins))
            await let_in(await door.next())
            await (await connecting).close("bye")
            card.forget_pin()
        assert card.verifications == [PIN, PIN]
        assert len(pins.connecting) == 1


async def test_a_remote_that_goes_while_the_pin_is_looked_for_ends_the_wait_at_once() -> None:
    class Searching(Pins):
        was_cancelled = False

        async def ask_pin(self, question: PinQuestion, waiting: int) -> PinGiven:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.was_cancelled = True
                raise
            raise AssertionError

    door, pins = Door(), Searching()
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(connect(port, MemoryCard(), pins=pins))
        channel = await door.next()
        number, _ = await expect(channel, Hello)
        channel.answer(number, ANY_PROOF)
        await asyncio.sleep(0.02)
        channel.abort(LinkError("gone"))
        with pytest.raises(LinkError, match="before the PIN"):
            await connecting
        await asyncio.sleep(0)
        assert pins.was_cancelled


async def test_giving_up_during_the_pin_question_says_goodbye() -> None:
    class Searching(Pins):
        async def ask_pin(self, question: PinQuestion, waiting: int) -> PinGiven:
            await asyncio.Event().wait()
            raise AssertionError

    door = Door()
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(connect(port, MemoryCard(), pins=Searching()))
        channel = await door.next()
        number, _ = await expect(channel, Hello)
        channel.answer(number, ANY_PROOF)
        await asyncio.sleep(0.02)
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        await until(lambda: channel.goodbye == Goodbye("The admin gave up.", final=False))


class HangingUp:
    """A remote that closes every connection at once, but for those that it is told to keep."""

    def __init__(self, keep_from: int) -> None:
        self._keep_from = keep_from
        self.count = 0

    async def welcome(self, channel: Channel, leave: Callable[[], None]) -> None:
        self.count += 1
        if self.count < self._keep_from:
            await channel.close("too busy")
        else:
            await let_in(channel)
            await channel.wait_lost()


async def test_a_connection_lost_while_the_fingerprint_was_compared_is_opened_anew(tmp_path: Path) -> None:
    asked: list[str] = []

    def compare(host: str, fingerprint: str) -> bool:
        asked.append(fingerprint)
        time.sleep(0.05)
        return True

    hanging = HangingUp(keep_from=2)
    async with listening(hanging.welcome) as port:
        trust = TrustPolicy(KnownRemotes(tmp_path / "known_remotes"), compare)
        lent = Pins().lend(MemoryCard(), Watching(), None)
        session = await session_module.connect(RemoteEndpoint(HOST, port, trust), *lent)
        await session.close("bye")
    assert asked == [identity().fingerprint]


async def test_a_remote_that_always_hangs_up_is_not_called_again_and_again() -> None:
    hanging = HangingUp(keep_from=1000)
    async with listening(hanging.welcome) as port:
        with pytest.raises(LinkError, match=r"too busy|closed|broke"):
            await connect(port, MemoryCard())
    assert hanging.count <= 2


def test_a_remote_has_the_name_that_a_person_knows() -> None:
    assert str(remote_at(4116)) == HOST
    assert str(remote_at(4117)) == f"{HOST}:4117"
    assert str(replace(remote_at(4117), host="2001:db8::1")) == "[2001:db8::1]:4117"
