"""The virtual card's way to srad: who gets the secret, and what becomes of the card in the reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sra.errors import LinkError, ProtocolError, RefusalCode, RefusedError
from sra.piv.keys import KeyReply, PinOutcome, PinReply, PinRequest
from sra.remote.virtual_card import daemon_link
from sra.remote.virtual_card.daemon_link import DaemonLink
from sra.transport.channel import Channel
from sra.transport.tls_identity import CERTIFICATE_FILE
from sra.wire.messages import Attach, Attached, CardInserted, EjectCard, InsertCard
from sra.wire.states import Role, State
from tests.loopback import DEADLINE, Door, dial, identity, impostor, listening, until
from tests.memory_remote import SECRET, running_remote, secret_file
from tests.wire.samples import CONTENTS, KEY_REQUEST

CARD = InsertCard(CONTENTS, pin_pad=True)
CERTIFICATE = identity().folder / CERTIFICATE_FILE


# Attaching.


async def test_srad_is_attached_to_with_the_secret() -> None:
    async with running_remote(readers=0) as remote:
        channel = await daemon_link.attach(remote.local_port, 2, secret_file(), CERTIFICATE)
        assert remote.sessions.take_reader().number == 2
        await channel.close("bye")


async def test_what_pretends_to_be_srad_never_gets_the_secret() -> None:
    async with impostor() as (port, received):
        with pytest.raises(LinkError, match="is not srad"):
            await daemon_link.attach(port, 0, secret_file(), CERTIFICATE)
    assert received == b""


async def test_a_certificate_file_with_a_chain_behind_it_is_understood(tmp_path: Path) -> None:
    chain = tmp_path / "certificate.pem"
    chain.write_bytes(
        b"issued by nobody\n" + CERTIFICATE.read_bytes() + (identity("other").folder / CERTIFICATE_FILE).read_bytes()
    )
    async with running_remote(readers=0) as remote:
        channel = await daemon_link.attach(remote.local_port, 0, secret_file(), chain)
        await channel.close("bye")


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
async def test_a_certificate_file_that_is_none_is_no_link(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    path.write_bytes(content)
    with pytest.raises(LinkError, match="not a certificate"):
        await daemon_link.attach(1, 0, secret_file(), path)


async def test_a_secret_that_can_not_be_read_is_no_link(tmp_path: Path) -> None:
    async with running_remote(readers=0) as remote:
        with pytest.raises(LinkError, match="can't be read"):
            await daemon_link.attach(remote.local_port, 0, tmp_path / "missing", CERTIFICATE)
        await asyncio.sleep(0.01)
        assert remote.sessions._readers == {}


@pytest.mark.parametrize("secret", [bytes(32), b"", b"short", SECRET + b"more"])
async def test_with_a_wrong_secret_there_is_no_link(secret: bytes, tmp_path: Path) -> None:
    path = tmp_path / "local-secret"
    path.write_bytes(secret)
    async with running_remote(readers=0) as remote:
        with pytest.raises(LinkError):
            await daemon_link.attach(remote.local_port, 0, path, CERTIFICATE)


async def test_an_srad_that_does_not_answer_is_given_up_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_link, "CONNECT_DEADLINE", 0.2)
    door = Door()
    async with listening(door.welcome, Role.ADMIN, State.DETACHED) as port:
        with pytest.raises(RefusedError) as refused:
            await daemon_link.attach(port, 0, secret_file(), CERTIFICATE)
        assert refused.value.code is RefusalCode.TIMEOUT
        silent = await door.next()
        async with asyncio.timeout(DEADLINE):
            await silent.wait_lost()


# Cards in and out.


class Card:
    """A card whose insertion can be held up, or fail."""

    def __init__(self) -> None:
        self.is_in = False
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.error: OSError | None = None

    async def open(self) -> None:
        self.is_in = True
        await self.may_open.wait()
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        self.is_in = False


@asynccontextmanager
async def attached() -> AsyncIterator[tuple[Channel, DaemonLink, Card]]:
    """srad's end of an attached connection, the link at the other end, and the card that it makes."""
    door = Door()
    async with listening(door.welcome, Role.ADMIN, State.AUTHENTICATED) as port:
        there = await dial(port, Role.REMOTE, State.AUTHENTICATED)
        srad, card = await door.next(), Card()
        link = DaemonLink(there, "reader 0", lambda *_: card)
        serving = asyncio.create_task(link.serve())
        yield srad, link, card
        await srad.close("over")
        await serving
        assert not card.is_in


async def test_a_card_goes_in_and_out_as_srad_says() -> None:
    async with attached() as (srad, _, card):
        assert await srad.ask(CARD) == CardInserted("reader 0")
        assert card.is_in
        srad.notify(EjectCard("enough"))
        assert (await srad.next_question(DEADLINE)).message == EjectCard("out")
        assert not card.is_in
        assert await srad.ask(CARD) == CardInserted("reader 0")


async def test_a_card_that_can_not_go_in_is_refused_and_not_left_half_in() -> None:
    async with attached() as (srad, _, card):
        card.error = PermissionError(13, "Permission denied")
        with pytest.raises(RefusedError, match="Permission denied") as refused:
            await srad.ask(CARD)
        assert refused.value.code is RefusalCode.NO_READER
        assert not card.is_in


async def test_a_lost_connection_takes_the_card_out() -> None:
    async with attached() as (srad, _, card):
        await srad.ask(CARD)
        srad.abort(LinkError("killed"))
        await until(lambda: not card.is_in)


async def test_a_connection_that_is_lost_during_the_insertion_takes_the_card_out() -> None:
    async with attached() as (srad, _, card):
        card.may_open.clear()
        inserting = asyncio.create_task(srad.ask(CARD))
        await until(lambda: card.is_in)
        srad.abort(LinkError("killed"))
        await asyncio.gather(inserting, return_exceptions=True)
        await until(lambda: not card.is_in)


async def test_keys_and_pins_go_to_srad_and_its_answers_come_back() -> None:
    async with attached() as (srad, link, _):
        await srad.ask(CARD)
        for question, answer in [
            (KEY_REQUEST, KeyReply(b"signature")),
            (PinRequest(b"123456"), PinReply(PinOutcome.WRONG, 2)),
        ]:
            asking = asyncio.create_task(
                link.use_key(KEY_REQUEST) if question is KEY_REQUEST else link.check_pin(PinRequest(b"123456"))
            )
            frame = await srad.next_question(DEADLINE)
            assert frame.message == question
            srad.answer(frame.number, answer)  # type: ignore[arg-type]
            assert await asking == answer


async def test_without_a_card_no_key_is_asked_for() -> None:
    async with attached() as (_, link, _):
        with pytest.raises(ProtocolError):
            await link.use_key(KEY_REQUEST)


# Staying attached.


async def test_it_comes_back_whenever_srad_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(daemon_link, "WAIT", 0.01)
    door = Door()
    served: list[Channel] = []
    tries = 0
    async with listening(door.welcome, Role.ADMIN, State.AUTHENTICATED) as port:

        async def attach() -> Channel:
            nonlocal tries
            tries += 1
            if tries % 3:
                raise LinkError("127.0.0.1 port 4117 can't be reached: Connection refused.")
            return await dial(port, Role.REMOTE, State.AUTHENTICATED)

        async def serve(channel: Channel) -> None:
            served.append(channel)
            await channel.wait_lost()

        staying = asyncio.create_task(daemon_link.stay_attached(attach, serve))
        for _ in range(3):
            (await door.next()).abort(LinkError("srad was restarted"))
        await until(lambda: len(served) == 3 and tries > 9)
        staying.cancel()
        await asyncio.gather(staying, return_exceptions=True)
    told = [record.message for record in caplog.records if record.message.startswith("no srad yet")]
    assert 3 <= len(told) <= 4


async def test_attaching_is_one_question() -> None:
    door = Door()
    async with listening(door.welcome, Role.ADMIN, State.DETACHED) as port:
        attaching = asyncio.create_task(daemon_link.attach(port, 3, secret_file(), CERTIFICATE))
        srad = await door.next()
        frame = await srad.next_question(DEADLINE)
        assert frame.message == Attach(SECRET, 3)
        srad.answer(frame.number, Attached())
        await (await attaching).close("bye")
