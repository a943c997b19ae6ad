"""Authentication and sessions, from the admin's port to the virtual card, all in this process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest

from sra.errors import RefusalCode, RefusedError, SraError
from sra.identity import challenges
from sra.identity.certificates import MAX_CERTIFICATE
from sra.piv.keys import Algorithm, Slot
from sra.piv.objects import CERTIFICATES, certificate_in
from sra.remote.daemon.sessions import reach_limit
from sra.transport.channel import Channel
from sra.wire.messages import NO_LIMITS, Challenge, Hello, Message, Proof, SessionLimits, Welcome
from tests.identity.odd_certificates import REFUSED
from tests.loopback import DEADLINE, dial, identity
from tests.memory_card import MemoryCard, sign
from tests.memory_remote import MemoryRemote, certificate_of, running_remote

NONCE = bytes(range(32))
ONLY_9A = frozenset({Slot.AUTHENTICATION})
DAY = timedelta(days=1)


def der_of(card: MemoryCard) -> bytes:
    return certificate_in(card.contents.objects[CERTIFICATES[Slot.AUTHENTICATION]])


def hello_of(card: MemoryCard, versions: tuple[int, ...] = (1,)) -> Hello:
    return Hello(versions, NONCE, der_of(card))


async def challenge_for(channel: Channel, hello: Hello) -> Challenge:
    challenge = await channel.ask(hello, DEADLINE)
    assert isinstance(challenge, Challenge)
    return challenge


def proof_of(card: MemoryCard, challenge: Challenge, server_certificate: bytes) -> Proof:
    signed = challenges.statement(server_certificate, challenge.nonce, NONCE, der_of(card))
    return Proof(sign(challenges.key_request(Algorithm.P256, signed), card.owner))


async def refusal_of(channel: Channel, question: Message) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        await channel.ask(question, DEADLINE)
    await channel.wait_lost()
    return refused.value


# Authentication.


async def test_a_card_that_proves_itself_and_is_paired_is_welcome() -> None:
    card = MemoryCard()
    async with running_remote(readers=0) as remote:
        remote.accounts.pair(card, "ann-account")
        channel = await dial(remote.port)
        challenge = await challenge_for(channel, hello_of(card))
        assert challenge.version == 1
        assert remote.accounts.asked == []
        welcome = await channel.ask(proof_of(card, challenge, channel.peer_certificate), DEADLINE)
        assert isinstance(welcome, Welcome)
        assert re.fullmatch("[0-9a-f]{8}", welcome.session)
        assert welcome == Welcome("ann-account", "remote-host", NO_LIMITS, welcome.session)
        await channel.close("bye")
    certificate = certificate_of(card)
    facts = {"account": "ann-account", "address": "127.0.0.1", "session": welcome.session}
    facts |= {"card": certificate.fingerprint, "key": certificate.public_key_hash("sha256")}
    assert remote.records.lines == [("authenticated", facts), ("disconnected", facts)]


@pytest.mark.parametrize("versions", [(2,), (0,), (-1, 99), (2**63,)])
async def test_a_version_that_is_not_spoken_is_refused_with_what_both_sides_speak(versions: tuple[int, ...]) -> None:
    async with running_remote(readers=0) as remote:
        refused = await refusal_of(await dial(remote.port), hello_of(MemoryCard(), versions))
        assert refused.code is RefusalCode.VERSION
        assert "speaks version 1 " in refused.text
        assert ", ".join(map(str, sorted(versions))) in refused.text


async def test_among_several_versions_the_common_one_is_chosen() -> None:
    async with running_remote(readers=0) as remote:
        channel = await dial(remote.port)
        assert (await challenge_for(channel, hello_of(MemoryCard(), (3, 1, 2)))).version == 1
        await channel.close("bye")


@pytest.mark.parametrize("certificate", [b"", b"garbage", b"\x30\x82\xff\xff" + bytes(200), bytes(16384)])
async def test_what_is_no_certificate_is_refused(certificate: bytes) -> None:
    async with running_remote(readers=0) as remote:
        refused = await refusal_of(await dial(remote.port), Hello((1,), NONCE, certificate))
        assert refused.code is RefusalCode.CERTIFICATE
        assert remote.records.of("refused") == [{"address": "127.0.0.1", "code": "certificate"}]


async def test_a_certificate_with_a_field_that_can_not_be_read_is_refused_at_hello() -> None:
    async with running_remote(readers=0) as remote:
        for what, certificate in REFUSED.items():
            if len(certificate) <= MAX_CERTIFICATE:
                refused = await refusal_of(await dial(remote.port), Hello((1,), NONCE, certificate))
                assert refused.code is RefusalCode.CERTIFICATE, what
        assert remote.accounts.asked == remote.checked == []


async def refusal_after_proof(remote: MemoryRemote, card: MemoryCard, proof: Proof | None = None) -> RefusedError:
    channel = await dial(remote.port)
    challenge = await challenge_for(channel, hello_of(card))
    return await refusal_of(channel, proof or proof_of(card, challenge, channel.peer_certificate))


@pytest.mark.parametrize(("begins", "ends"), [(-3 * DAY, -DAY), (DAY, 2 * DAY)], ids=["expired", "not yet valid"])
async def test_a_certificate_outside_its_dates_is_refused_before_any_account_is_looked_for(
    begins: timedelta, ends: timedelta
) -> None:
    card = MemoryCard(begins=begins, ends=ends)
    async with running_remote(readers=0) as remote:
        remote.accounts.pair(card, "ann")
        refused = await refusal_after_proof(remote, card)
        assert refused.code is RefusalCode.EXPIRED
        assert remote.accounts.asked == []


async def test_a_card_that_is_not_paired_is_refused() -> None:
    card = MemoryCard()
    async with running_remote(readers=0) as remote:
        refused = await refusal_after_proof(remote, card)
        assert refused.code is RefusalCode.NOT_PAIRED
        assert remote.accounts.asked == [certificate_of(card).fingerprint]
        assert remote.records.events == ["refused"]


async def test_a_forged_proof_is_refused_and_no_account_is_looked_for() -> None:
    ann, bob = MemoryCard(), MemoryCard(owner="bob")
    async with running_remote(readers=0) as remote:
        remote.accounts.pair(ann, "ann")
        channel = await dial(remote.port)
        challenge = await challenge_for(channel, hello_of(ann))
        signed = challenges.statement(channel.peer_certificate, challenge.nonce, NONCE, der_of(ann))
        forged = Proof(sign(challenges.key_request(Algorithm.P256, signed), bob.owner))
        refused = await refusal_of(channel, forged)
        assert refused.code is RefusalCode.PROOF
        for signature in (b"", b"\x30\x00", bytes(512)):
            assert (await refusal_after_proof(remote, ann, Proof(signature))).code is RefusalCode.PROOF
        assert remote.accounts.asked == []


async def test_even_an_expired_certificate_is_refused_for_its_forged_proof_first() -> None:
    async with running_remote(readers=0) as remote:
        refused = await refusal_after_proof(remote, MemoryCard(begins=-3 * DAY, ends=-DAY), Proof(b"forged"))
        assert refused.code is RefusalCode.PROOF


async def test_a_proof_is_good_for_its_own_connection_only() -> None:
    card = MemoryCard()
    async with running_remote(readers=0) as remote:
        remote.accounts.pair(card, "ann")
        channel = await dial(remote.port)
        proof = proof_of(card, await challenge_for(channel, hello_of(card)), channel.peer_certificate)
        assert isinstance(await channel.ask(proof, DEADLINE), Welcome)
        assert (await refusal_after_proof(remote, card, proof)).code is RefusalCode.PROOF
        await channel.close("bye")


async def test_a_challenge_that_a_malicious_remote_passes_on_gets_a_proof_that_is_worth_nothing() -> None:
    card = MemoryCard()
    async with running_remote(readers=0) as remote:
        remote.accounts.pair(card, "ann")
        onward = await dial(remote.port)
        challenge = await challenge_for(onward, hello_of(card))
        relayed = proof_of(card, challenge, identity("malicious").certificate)
        assert (await refusal_of(onward, relayed)).code is RefusalCode.PROOF
        assert remote.accounts.asked == []


async def test_accounts_that_can_not_be_read_are_a_refusal_that_says_no_more_than_that() -> None:
    card = MemoryCard()
    async with running_remote(readers=0) as remote:
        remote.accounts.broken = SraError("/etc/sra/pairings.toml: line 3 is damaged")
        refused = await refusal_after_proof(remote, card)
        assert refused.code is RefusalCode.INTERNAL
        assert "pairings.toml" not in refused.text
        assert remote.records.of("refused") == [{"address": "127.0.0.1", "code": "internal"}]


async def test_a_remote_that_admits_nobody_says_so_before_any_challenge_and_before_it_reads_a_certificate() -> None:
    async with running_remote(readers=0) as remote:
        remote.refusal = RefusedError(RefusalCode.LICENSE, "This remote has no license.")
        refused = await refusal_of(await dial(remote.port), Hello((1,), NONCE, b"garbage"))
        assert (refused.code, refused.text) == (RefusalCode.LICENSE, "This remote has no license.")
        assert remote.accounts.asked == remote.checked == []


async def test_a_certificate_that_the_policy_does_not_accept_is_refused_after_the_proof_and_before_the_account() -> (
    None
):
    card = MemoryCard()
    async with running_remote(readers=0) as remote:
        remote.accounts.pair(card, "ann")
        remote.revoked = RefusedError(RefusalCode.CERTIFICATE, "The certificate is revoked.")
        assert (await refusal_after_proof(remote, card, Proof(b"forged"))).code is RefusalCode.PROOF
        expired = MemoryCard(owner="bob", begins=-3 * DAY, ends=-DAY)
        assert (await refusal_after_proof(remote, expired)).code is RefusalCode.EXPIRED
        assert remote.checked == []
        assert (await refusal_after_proof(remote, card)).text == "The certificate is revoked."
        assert remote.checked == [certificate_of(card).fingerprint]
        assert remote.accounts.asked == []


async def test_an_admin_may_leave_after_the_challenge() -> None:
    async with running_remote(readers=0) as remote:
        channel = await dial(remote.port)
        await challenge_for(channel, hello_of(MemoryCard()))
        await channel.close("The admin gave up.")
        await asyncio.sleep(0.02)
        assert remote.records.events == []


TURN = 0.001


class Hasty(asyncio.SelectorEventLoop):
    """An event loop whose clock leaps to the next timer: hours pass in no time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        scheduled = self._scheduled  # type: ignore[attr-defined]
        if not self._ready and scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, scheduled[0]._when)
        super()._run_once()  # type: ignore[misc]


def run(body: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=Hasty) as runner:
        runner.run(body)


def limits(*, idle: int = 0, total: int = 0) -> SessionLimits:
    return SessionLimits(pin_cache=0, limit_pin_cache=False, idle=idle, total=total)


@pytest.mark.parametrize(
    ("demanded", "after", "reason"),
    [
        (limits(idle=60), 60, "not used"),
        (limits(total=60), 60, "lasted"),
        (limits(idle=60, total=3600), 60, "not used"),
        (limits(idle=3600, total=60), 60, "lasted"),
        (limits(total=7 * 24 * 3600), 7 * 24 * 3600, "lasted"),
    ],
)
def test_a_limit_is_reached_in_time_with_its_reason(demanded: SessionLimits, after: int, reason: str) -> None:
    async def body() -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        assert reason in await reach_limit(demanded, lambda: begun)
        assert begun + after <= clock() < begun + after + TURN

    run(body())


def test_a_use_puts_the_end_off_but_not_that_of_the_whole() -> None:
    async def body() -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()

        def last_use() -> float:
            return begun + 50 * ((clock() - begun) // 50)

        assert "lasted" in await reach_limit(limits(idle=60, total=600), last_use)
        assert begun + 600 <= clock() < begun + 600 + TURN

    run(body())


def test_without_limits_there_is_no_end() -> None:
    async def body() -> None:
        waiting = asyncio.ensure_future(reach_limit(NO_LIMITS, lambda: 0.0))
        await asyncio.sleep(8 * 24 * 3600)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    run(body())


def test_a_card_that_was_idle_for_too_long_already_ends_at_once() -> None:
    async def body() -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        assert "not used" in await reach_limit(limits(idle=60), lambda: begun - 100)
        assert clock() == begun

    run(body())
