"""Sessions: cards in and out of the readers, from the admin's port to the virtual card, all in this process."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from sra.admin.session import Session
from sra.errors import LinkError, ProtocolError, RefusalCode, RefusedError
from sra.identity import challenges
from sra.piv.keys import Algorithm, KeyReply, KeyRequest, Operation, PinOutcome, PinReply, PinRequest, Slot
from sra.remote.daemon import readers as readers_module
from sra.wire.messages import InsertCard
from tests.admin.connecting import connect
from tests.admin.watching import Watching
from tests.loopback import DEADLINE, run, until
from tests.memory_card import PIN, MemoryCard
from tests.memory_remote import MemoryReader, MemoryRemote, certificate_of, running_remote
from tests.piv_blocks import signing_input

ONLY_9A = frozenset({Slot.AUTHENTICATION})


async def connected(remote: MemoryRemote, card: MemoryCard, watching: Watching | None = None) -> Session:
    remote.accounts.pair(card, card.owner)
    return await connect(remote.port, card, watching=watching)


def test_a_card_is_inserted_used_and_ejected_and_all_of_it_is_written_down() -> None:
    async def body() -> None:
        card = MemoryCard()
        async with running_remote() as remote:
            session = await connected(remote, card)
            assert await session.insert(ONLY_9A) == "reader 0"
            (inserted,) = remote.readers[0].present
            assert [key.slot for key in inserted.description.contents.keys] == [Slot.AUTHENTICATION]
            link = remote.readers[0].link
            assert await link.check_pin(PinRequest(PIN)) == PinReply(PinOutcome.VERIFIED, 3)
            request = request_for(b"text")
            assert isinstance(await link.use_key(request), KeyReply)
            with pytest.raises(RefusedError):
                await link.use_key(challenges.key_request(Algorithm.P256, bytes(32)))
            await session.eject("enough")
            assert remote.readers[0].present == []
            await session.close("bye")
        assert remote.records.events == [
            "authenticated", "inserted", "pin", "key-use", "key-use", "ejected", "disconnected"
        ]  # fmt: skip
        used, refused = remote.records.of("key-use")
        assert (used["slot"], used["algorithm"], used["operation"]) == ("9A", "P256", "sign")
        assert used["input_sha256"] == hashlib.sha256(request.input).hexdigest()
        assert (used["outcome"], refused["outcome"]) == ("done", "refused: not-allowed")
        assert remote.records.of("pin")[0]["entry"] == "typed"
        assert remote.records.of("ejected")[0]["reason"] == "enough"
        assert PIN.decode() not in str(remote.records.lines)

    run(body())


def request_for(text: bytes) -> KeyRequest:
    return KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, Operation.SIGN, signing_input(Algorithm.P256, text))


def test_without_a_virtual_card_process_nothing_can_be_inserted() -> None:
    async def body() -> None:
        async with running_remote(readers=0) as remote:
            session = await connected(remote, MemoryCard())
            with pytest.raises(RefusedError) as refused:
                await session.insert(ONLY_9A)
            assert refused.value.code is RefusalCode.NO_READER
            assert "No virtual card process" in refused.value.text
            await session.close("bye")

    run(body())


def test_when_all_readers_are_full_the_next_card_is_refused_until_one_is_free() -> None:
    async def body() -> None:
        async with running_remote(readers=2) as remote:
            sessions = [await connected(remote, MemoryCard(owner=owner)) for owner in ("ann", "bob", "cy")]
            assert [await session.insert(ONLY_9A) for session in sessions[:2]] == ["reader 0", "reader 1"]
            with pytest.raises(RefusedError, match="All 2 readers"):
                await sessions[2].insert(ONLY_9A)
            await sessions[0].eject("enough")
            assert await sessions[2].insert(ONLY_9A) == "reader 0"
            for session in sessions:
                await session.close("bye")

    run(body())


def test_a_reader_that_can_not_take_the_card_is_a_refusal_with_its_reason_and_free_again() -> None:
    async def body() -> None:
        async with running_remote() as remote:
            session = await connected(remote, MemoryCard())
            remote.readers[0].fails_to_open = True
            with pytest.raises(RefusedError, match="something is in the way"):
                await session.insert(ONLY_9A)
            remote.readers[0].fails_to_open = False
            assert await session.insert(ONLY_9A) == "reader 0"
            await session.close("bye")

    run(body())


def test_a_virtual_card_process_that_dies_while_inserting_is_told_and_another_can_follow() -> None:
    async def body() -> None:
        async with running_remote() as remote:
            session = await connected(remote, MemoryCard())
            reader = remote.readers[0]
            reader.may_open.clear()
            inserting = asyncio.create_task(session.insert(ONLY_9A))
            await reader.opening.wait()
            await reader.die()
            with pytest.raises(RefusedError) as refused:
                await inserting
            assert refused.value.code is RefusalCode.NO_READER
            assert remote.records.events == ["authenticated"]
            reader.may_open.set()
            await reader.attach(remote.local_port)
            assert await session.insert(ONLY_9A) == "reader 0"
            await session.close("bye")

    run(body())


def test_a_virtual_card_process_that_dies_with_the_card_in_is_told_and_another_can_follow() -> None:
    async def body() -> None:
        watching = Watching()
        async with running_remote() as remote:
            session = await connected(remote, MemoryCard(), watching)
            reader = remote.readers[0]
            await session.insert(ONLY_9A)
            holding = asyncio.create_task(session.hold())
            await reader.die()
            assert reader.present == []
            await holding
            assert "virtual card process ended" in str(watching.events[-1])
            await reader.attach(remote.local_port)
            assert await session.insert(ONLY_9A) == "reader 0"
            assert remote.records.events == ["authenticated", "inserted", "ejected", "inserted"]
            await session.close("bye")

    run(body())


def test_an_insertion_that_hangs_is_given_up_and_its_reader_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "INSERT_DEADLINE", 0.05)

    async def body() -> None:
        async with running_remote() as remote:
            session = await connected(remote, MemoryCard())
            reader = remote.readers[0]
            reader.may_open.clear()
            with pytest.raises(RefusedError) as refused:
                await session.insert(ONLY_9A)
            assert refused.value.code is RefusalCode.NO_READER
            await reader.channel.wait_lost()
            await session.close("bye")

    run(body())


def test_an_admin_that_leaves_during_an_insertion_leaves_an_empty_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "INSERT_DEADLINE", 1.0)

    async def body() -> None:
        async with running_remote() as remote:
            session = await connected(remote, MemoryCard())
            reader = remote.readers[0]
            reader.may_open.clear()
            inserting = asyncio.create_task(session.insert(ONLY_9A))
            await reader.opening.wait()
            inserting.cancel()
            await asyncio.gather(inserting, return_exceptions=True)
            closing = asyncio.create_task(session.close("bye"))
            await asyncio.sleep(0.02)
            reader.may_open.set()
            await closing
            await until(lambda: "disconnected" in remote.records.events)
            assert reader.present == []
            other = await connected(remote, MemoryCard(owner="bob"))
            assert await other.insert(ONLY_9A) == "reader 0"
            await other.close("bye")

    run(body())


def test_an_admin_that_leaves_during_an_insertion_that_hangs_leaves_no_half_inserted_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readers_module, "INSERT_DEADLINE", 0.05)

    async def body() -> None:
        async with running_remote() as remote:
            session = await connected(remote, MemoryCard())
            reader = remote.readers[0]
            reader.may_open.clear()
            inserting = asyncio.create_task(session.insert(ONLY_9A))
            await reader.opening.wait()
            inserting.cancel()
            await asyncio.gather(inserting, return_exceptions=True)
            await session.close("bye")
            async with asyncio.timeout(DEADLINE):
                await reader.channel.wait_lost()
            assert reader.present == []

    run(body())


def test_a_lost_connection_empties_the_reader() -> None:
    async def body() -> None:
        async with running_remote() as remote:
            session = await connected(remote, MemoryCard())
            await session.insert(ONLY_9A)
            session._channel.abort(LinkError("the cable"))
            await remote.readers[0].until_present(present=False)
            await until(lambda: "disconnected" in remote.records.events)
            assert remote.records.of("ejected")[0]["reason"] == "The connection ended."
            await session.close("bye")

    run(body())


def test_a_virtual_card_process_that_does_not_eject_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "INSERT_DEADLINE", 0.05)
    monkeypatch.setattr(readers_module, "EJECT_DEADLINE", 0.05)

    async def body() -> None:
        async with running_remote() as remote:
            session = await connected(remote, MemoryCard())
            await session.insert(ONLY_9A)
            remote.readers[0].may_close.clear()
            await session.eject("enough")
            await remote.readers[0].channel.wait_lost()
            await session.close("bye")

    run(body())


def test_a_key_request_after_the_ejection_is_refused_on_either_side() -> None:
    async def body() -> None:
        card = MemoryCard()
        async with running_remote() as remote:
            session = await connected(remote, card)
            await session.insert(ONLY_9A)
            link = remote.readers[0].link
            await link.check_pin(PinRequest(None))
            remote.readers[0].may_close.clear()
            ejecting = asyncio.create_task(session.eject("enough"))
            await asyncio.sleep(0.02)
            uses = len(card.uses)
            with pytest.raises((RefusedError, ProtocolError)):
                await link.use_key(request_for(b"late"))
            remote.readers[0].may_close.set()
            await ejecting
            with pytest.raises(ProtocolError):
                await link.use_key(request_for(b"later"))
            assert len(card.uses) == uses
            await session.close("bye")

    run(body())


# More than one admin.


def test_the_same_card_connected_again_replaces_the_older_connection_for_good() -> None:
    async def body() -> None:
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

    run(body())


def test_another_connection_of_another_card_is_left_alone() -> None:
    async def body() -> None:
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

    run(body())


def test_two_admins_with_two_cards_at_once_are_never_mixed() -> None:
    async def body() -> None:
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
                    session._guard._recent.clear()  # type: ignore[union-attr]
            facts = remote.records.of("key-use")
            assert {(line["account"], line["card"]) for line in facts} == {
                (card.owner, certificate_of(card).fingerprint) for card in cards
            }
            assert [len(card.uses) for card in cards] == [321, 321]
            for session in sessions:
                await session.close("bye")

    run(body())


async def use_in(reader: MemoryReader, card: MemoryCard, rounds: int) -> None:
    """Signatures of that reader's card, many at a time, and each of them right."""
    key = certificate_of(card).public_key
    assert isinstance(key, ec.EllipticCurvePublicKey)
    for turn in range(rounds):
        requests = [request_for(f"{card.owner} {turn} {number}".encode()) for number in range(8)]
        replies = await asyncio.gather(*(reader.link.use_key(request) for request in requests))
        for request, reply in zip(requests, replies, strict=True):
            key.verify(reply.output, request.input, ec.ECDSA(utils.Prehashed(SHA256())))


def test_a_full_house_says_so() -> None:
    async def body() -> None:
        async with running_remote(readers=0, max_sessions=1) as remote:
            ann = await connected(remote, MemoryCard())
            with pytest.raises(LinkError, match="as many connections as it may have"):
                await connected(remote, MemoryCard(owner="bob"))
            await ann.close("bye")
            await until(lambda: not remote.sessions.is_full)
            await (await connected(remote, MemoryCard(owner="bob"))).close("bye")

    run(body())


def test_an_admin_may_ask_for_nothing_but_an_insertion() -> None:
    async def body() -> None:
        async with running_remote() as remote:
            session = await connected(remote, MemoryCard())
            from_elsewhere = InsertCard(MemoryCard().contents, pin_pad=False)
            await session.insert(ONLY_9A)
            with pytest.raises(ProtocolError):
                await session._channel.ask(from_elsewhere)
            await session.close("bye")

    run(body())


def test_the_service_says_goodbye_when_it_stops_and_the_readers_are_empty() -> None:
    async def body() -> None:
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

    run(body())
