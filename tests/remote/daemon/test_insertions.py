"""Sessions: cards in and out of the readers, from the admin's port to the virtual card, all in this process."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from sra.admin.session import AdminSession
from sra.errors import LinkError, ProtocolError, RefusalCode, RefusedError
from sra.identity import challenges
from sra.piv.keys import Algorithm, KeyReply, KeyRequest, Operation, PinOutcome, PinReply, PinRequest, Slot
from sra.remote.daemon import readers as readers_module
from tests import rsa_forgery
from tests.admin.connecting import connect
from tests.admin.watching import Watching
from tests.loopback import DEADLINE, until
from tests.memory_card import PIN, MemoryCard
from tests.memory_remote import MemoryReader, MemoryRemote, running_remote
from tests.piv_blocks import signing_input

ONLY_9A = frozenset({Slot.AUTHENTICATION})


async def connected(remote: MemoryRemote, card: MemoryCard, watching: Watching | None = None) -> AdminSession:
    remote.accounts.pair(card, card.owner)
    return await connect(remote.port, card, watching=watching)


async def test_a_card_is_inserted_used_and_ejected_and_all_of_it_is_written_down() -> None:
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


async def test_why_the_admins_guard_refused_is_in_the_remotes_log_once_a_session(
    caplog: pytest.LogCaptureFixture,
) -> None:
    card = MemoryCard({Slot.AUTHENTICATION: Algorithm.RSA_2048})
    block = rsa_forgery.pss(256, 32, "sha256", 222).any()
    async with running_remote() as remote:
        session = await connected(remote, card)
        await session.insert(ONLY_9A)
        await remote.readers[0].link.check_pin(PinRequest(PIN))
        for _ in range(3):
            with pytest.raises(RefusedError, match="rsa_pss_saltlen:digest"):
                await remote.readers[0].link.use_key(
                    KeyRequest(Slot.AUTHENTICATION, Algorithm.RSA_2048, Operation.SIGN, block)
                )
        await session.close("bye")
    told = [record.getMessage() for record in caplog.records if "guard refused" in record.getMessage()]
    assert len(told) == 1
    assert "(openssl: -sigopt rsa_pss_saltlen:digest)." in told[0]


def request_for(text: bytes) -> KeyRequest:
    return KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, Operation.SIGN, signing_input(Algorithm.P256, text))


async def test_without_a_virtual_card_process_nothing_can_be_inserted() -> None:
    async with running_remote(readers=0) as remote:
        session = await connected(remote, MemoryCard())
        with pytest.raises(RefusedError) as refused:
            await session.insert(ONLY_9A)
        assert refused.value.code is RefusalCode.NO_READER
        assert "No virtual card process" in refused.value.text
        await session.close("bye")


async def test_when_all_readers_are_full_the_next_card_is_refused_until_one_is_free() -> None:
    async with running_remote(readers=2) as remote:
        sessions = [await connected(remote, MemoryCard(owner=owner)) for owner in ("ann", "bob", "cy")]
        assert [await session.insert(ONLY_9A) for session in sessions[:2]] == ["reader 0", "reader 1"]
        with pytest.raises(RefusedError, match="All 2 readers"):
            await sessions[2].insert(ONLY_9A)
        await sessions[0].eject("enough")
        assert await sessions[2].insert(ONLY_9A) == "reader 0"
        for session in sessions:
            await session.close("bye")


async def test_a_reader_that_can_not_take_the_card_is_a_refusal_with_its_reason_and_free_again() -> None:
    async with running_remote() as remote:
        session = await connected(remote, MemoryCard())
        remote.readers[0].fails_to_open = True
        with pytest.raises(RefusedError, match="something is in the way"):
            await session.insert(ONLY_9A)
        remote.readers[0].fails_to_open = False
        assert await session.insert(ONLY_9A) == "reader 0"
        await session.close("bye")


async def test_a_virtual_card_process_that_dies_while_inserting_is_told_and_another_can_follow() -> None:
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


async def test_a_virtual_card_process_that_dies_with_the_card_in_is_told_and_another_can_follow() -> None:
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


async def test_an_insertion_that_hangs_is_given_up_and_its_reader_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "INSERT_DEADLINE", 0.05)
    async with running_remote() as remote:
        session = await connected(remote, MemoryCard())
        reader = remote.readers[0]
        reader.may_open.clear()
        with pytest.raises(RefusedError) as refused:
            await session.insert(ONLY_9A)
        assert refused.value.code is RefusalCode.NO_READER
        await reader.channel.wait_lost()
        await session.close("bye")


async def leave_during_insertion(session: AdminSession, reader: MemoryReader) -> None:
    """Have the reader hang in an insertion, and give that up."""
    reader.may_open.clear()
    inserting = asyncio.create_task(session.insert(ONLY_9A))
    await reader.opening.wait()
    inserting.cancel()
    await asyncio.gather(inserting, return_exceptions=True)


async def test_an_admin_that_leaves_during_an_insertion_leaves_an_empty_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "INSERT_DEADLINE", 1.0)
    async with running_remote() as remote:
        session = await connected(remote, MemoryCard())
        reader = remote.readers[0]
        await leave_during_insertion(session, reader)
        closing = asyncio.create_task(session.close("bye"))
        await asyncio.sleep(0.02)
        reader.may_open.set()
        await closing
        await until(lambda: "disconnected" in remote.records.events)
        assert reader.present == []
        other = await connected(remote, MemoryCard(owner="bob"))
        assert await other.insert(ONLY_9A) == "reader 0"
        await other.close("bye")


async def test_an_admin_that_leaves_during_an_insertion_that_hangs_leaves_no_half_inserted_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readers_module, "INSERT_DEADLINE", 0.05)
    async with running_remote() as remote:
        session = await connected(remote, MemoryCard())
        reader = remote.readers[0]
        await leave_during_insertion(session, reader)
        await session.close("bye")
        async with asyncio.timeout(DEADLINE):
            await reader.channel.wait_lost()
        assert reader.present == []


async def test_a_lost_connection_empties_the_reader() -> None:
    async with running_remote() as remote:
        session = await connected(remote, MemoryCard())
        await session.insert(ONLY_9A)
        session._channel.abort(LinkError("the cable"))
        await remote.readers[0].until_present(present=False)
        await until(lambda: "disconnected" in remote.records.events)
        assert remote.records.of("ejected")[0]["reason"] == "The connection ended."
        await session.close("bye")


async def test_a_virtual_card_process_that_does_not_eject_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "INSERT_DEADLINE", 0.05)
    monkeypatch.setattr(readers_module, "EJECT_DEADLINE", 0.05)
    async with running_remote() as remote:
        session = await connected(remote, MemoryCard())
        await session.insert(ONLY_9A)
        remote.readers[0].may_close.clear()
        await session.eject("enough")
        await remote.readers[0].channel.wait_lost()
        await session.close("bye")


async def test_a_service_that_stops_waits_for_no_virtual_card_process_that_does_not_eject(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readers_module, "INSERT_DEADLINE", 0.05)
    monkeypatch.setattr(readers_module, "EJECT_DEADLINE", 0.05)
    async with running_remote() as remote:
        session = await connected(remote, MemoryCard())
        await session.insert(ONLY_9A)
        remote.readers[0].may_close.clear()
        async with asyncio.timeout(2):
            await remote.network.close()
        assert remote.records.events[-2:] == ["ejected", "disconnected"]
        await remote.readers[0].channel.wait_lost()
        await session.close("bye")


async def test_a_key_request_after_the_ejection_is_refused_on_either_side() -> None:
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
