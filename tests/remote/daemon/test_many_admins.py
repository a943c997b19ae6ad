"""More than one admin at a time: nobody gets what is another's."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from sra.admin.session import AdminSession
from sra.errors import LinkError, ProtocolError
from sra.piv.keys import Algorithm, KeyRequest, Operation, PinRequest, Slot
from sra.remote.daemon.sessions import MAX_OF_A_CARD
from sra.wire.messages import InsertCard
from tests.admin.connecting import connect
from tests.admin.watching import Watching
from tests.loopback import until
from tests.memory_card import PIN, MemoryCard
from tests.memory_remote import MemoryReader, MemoryRemote, certificate_of, running_remote
from tests.piv_blocks import signing_input

ONLY_9A = frozenset({Slot.AUTHENTICATION})


async def connected(remote: MemoryRemote, card: MemoryCard, watching: Watching | None = None) -> AdminSession:
    remote.accounts.pair(card, card.owner)
    return await connect(remote.port, card, watching=watching)


def request_for(text: bytes) -> KeyRequest:
    return KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, Operation.SIGN, signing_input(Algorithm.P256, text))


async def test_the_same_card_connected_again_replaces_the_older_connection_for_good() -> None:
    async with running_remote(readers=2) as remote:
        older = await connected(remote, MemoryCard())
        twin = MemoryCard()
        twin.contents = older._card.contents
        await older.insert(ONLY_9A)
        newer = await connect(remote.port, twin)
        holding = asyncio.create_task(older.hold())
        assert await newer.insert(ONLY_9A) in {"reader 0", "reader 1"}
        with pytest.raises(LinkError, match="connected again"):
            await holding
        assert older.is_final
        assert sum(len(reader.present) for reader in remote.readers) == 1
        await older.close("bye")
        await newer.close("bye")


async def test_other_certificates_for_the_same_key_are_no_other_cards() -> None:
    """Whoever has a key signs any number of certificates for it, and a pairing is by the key."""
    async with running_remote(readers=2) as remote:
        hostile = [await connected(remote, MemoryCard(owner="eve")) for _ in range(2)]
        for session in hostile:
            with contextlib.suppress(LinkError):
                await session.insert(ONLY_9A)
        ann = await connected(remote, MemoryCard())
        assert await ann.insert(ONLY_9A) in {"reader 0", "reader 1"}
        assert len({facts["card"] for facts in remote.records.of("authenticated")}) == 3
        assert len({facts["key"] for facts in remote.records.of("authenticated")}) == 2
        for session in (ann, *hostile):
            await session.close("bye")


async def test_one_card_does_not_take_all_places() -> None:
    async with running_remote(readers=1, max_sessions=8) as remote:
        first = await connected(remote, MemoryCard(owner="eve"))
        await first.insert(ONLY_9A)
        hostile = [await connected(remote, MemoryCard(owner="eve")) for _ in range(9)]
        hostile += await asyncio.gather(*(connected(remote, MemoryCard(owner="eve")) for _ in range(4)))
        await until(lambda: len(remote.sessions._sessions) == MAX_OF_A_CARD)
        ann = await connected(remote, MemoryCard())
        assert not first.channel.is_lost
        for session in (ann, first, *hostile):
            await session.close("bye")


async def test_another_connection_of_another_card_is_left_alone() -> None:
    async with running_remote(readers=2) as remote:
        ann = await connected(remote, MemoryCard())
        bob = await connected(remote, MemoryCard(owner="bob"))
        await ann.insert(ONLY_9A)
        await bob.insert(ONLY_9A)
        assert [len(reader.present) for reader in remote.readers] == [1, 1]
        assert not ann.is_final
        await ann.close("bye")
        await remote.readers[0].until_present(present=False)
        assert len(remote.readers[1].present) == 1
        await bob.close("bye")


async def test_two_admins_with_two_cards_at_once_are_never_mixed() -> None:
    cards = [MemoryCard(), MemoryCard(owner="bob")]
    async with running_remote(readers=2) as remote:
        sessions = [await connected(remote, card) for card in cards]
        for session in sessions:
            await session.insert(ONLY_9A)
        readers = remote.readers
        for reader in readers:
            await reader.link.check_pin(PinRequest(PIN))
        for _ in range(8):
            await asyncio.gather(*(use_in(reader, card, 5) for reader, card in zip(readers, cards, strict=True)))
            for session in sessions:
                session.lending.lender.meter._recent.clear()
        facts = remote.records.of("key-use")
        assert {(line["account"], line["card"]) for line in facts} == {
            (card.owner, certificate_of(card).fingerprint) for card in cards
        }
        assert [len(card.uses) for card in cards] == [321, 321]
        for session in sessions:
            await session.close("bye")


async def use_in(reader: MemoryReader, card: MemoryCard, rounds: int) -> None:
    """Signatures of that reader's card, many at a time, and each of them right."""
    key = certificate_of(card).public_key
    assert isinstance(key, ec.EllipticCurvePublicKey)
    for turn in range(rounds):
        requests = [request_for(f"{card.owner} {turn} {number}".encode()) for number in range(8)]
        replies = await asyncio.gather(*(reader.link.use_key(request) for request in requests))
        for request, reply in zip(requests, replies, strict=True):
            key.verify(reply.output, request.input, ec.ECDSA(utils.Prehashed(SHA256())))


async def test_a_remote_that_is_full_says_so() -> None:
    async with running_remote(readers=0, max_sessions=1) as remote:
        ann = await connected(remote, MemoryCard())
        with pytest.raises(LinkError, match="as many connections as it may have"):
            await connected(remote, MemoryCard(owner="bob"))
        await ann.close("bye")
        await until(lambda: not remote.sessions.is_full)
        await (await connected(remote, MemoryCard(owner="bob"))).close("bye")


async def test_an_admin_may_ask_for_nothing_but_an_insertion() -> None:
    async with running_remote() as remote:
        session = await connected(remote, MemoryCard())
        from_elsewhere = InsertCard(MemoryCard().contents, pin_pad=False)
        await session.insert(ONLY_9A)
        with pytest.raises(ProtocolError):
            await session._channel.ask(from_elsewhere)
        await session.close("bye")


async def test_the_service_says_goodbye_when_it_stops_and_the_readers_are_empty() -> None:
    watching = Watching()
    async with running_remote() as remote:
        session = await connected(remote, MemoryCard(), watching)
        await session.insert(ONLY_9A)
        holding = asyncio.create_task(session.hold())
        async with asyncio.timeout(2):
            await remote.network.close()
        with pytest.raises(LinkError, match="The service is stopping"):
            await holding
        assert not session.is_final
        assert remote.readers[0].present == []
        await session.close("bye")
