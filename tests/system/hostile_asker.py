"""A remote that has let an admin in and then abuses the card that was inserted.

python -m tests.system.hostile_asker FOLDER PORT thousand|guess|half-open|swap

Prints a line of JSON for what it has seen. Its identity is in ``FOLDER``, as that of ``hostile_remote``.
"""

from __future__ import annotations

import asyncio
import collections
import sys
import time

from sra.errors import LinkError, RefusedError, SraError
from sra.identity import certificates
from sra.piv.keys import KeyRequest, PinReply, PinRequest
from sra.transport.channel import Channel
from sra.wire.messages import Message
from tests.system.disguises import honest_signature
from tests.system.hostile_remote import PATIENCE, Answerer, tell, trap, welcome

QUESTIONS = 1000
AT_ONCE = 50
"""Below the 64 that the protocol lets be open."""


async def outcome(admin: Channel, question: Message) -> str:
    try:
        reply = await admin.ask(question, PATIENCE)
    except SraError as error:
        return str(error.code) if isinstance(error, RefusedError) else type(error).__name__
    return reply.outcome.value if isinstance(reply, PinReply) else "done"


async def thousand(admin: Channel, request: KeyRequest) -> None:
    """Ask for a thousand signatures as fast as the other side takes them."""
    tell("the PIN", await outcome(admin, PinRequest(None)))
    begun = time.monotonic()
    found: collections.Counter[str] = collections.Counter()
    for _ in range(QUESTIONS // AT_ONCE):
        found.update(await asyncio.gather(*(outcome(admin, request) for _ in range(AT_ONCE))))
    tell("seconds", str(time.monotonic() - begun))
    tell("done", str(found["done"]))
    tell("refused", str(found["not-allowed"]))


async def guess(admin: Channel, request: KeyRequest) -> None:
    """Try PINs, for longer than the rate lets them through."""
    found: collections.Counter[str] = collections.Counter()
    for number in range(500):
        found[await outcome(admin, PinRequest(b"%06d" % number))] += 1
    tell("outcomes", " ".join(sorted(found)))
    tell("wrong", str(found["wrong"]))
    await asyncio.sleep(1.1)
    tell("a key", await outcome(admin, request))
    tell("the pad", await outcome(admin, PinRequest(None)))


async def half_open(admin: Channel, request: KeyRequest) -> None:
    """Say nothing when the card is ejected, keep the link, and ask on."""
    tell("the PIN", await outcome(admin, PinRequest(None)))
    tell("before", await outcome(admin, request))
    last = ""
    while last in {"", "done", "not-allowed", "card"}:
        last = await outcome(admin, request)
        await asyncio.sleep(0.05)
    tell("after", last)
    await admin.wait_lost()


async def swap(arrived: asyncio.Queue[Channel]) -> None:
    """Let the admin in, cut the link, and name another account when the admin comes back."""
    first = await arrived.get()
    await welcome(first, "ann")
    answerer = Answerer()
    serving = asyncio.create_task(first.serve(answerer))
    await answerer.inserted.wait()
    first.abort(LinkError("cut"))
    await asyncio.gather(serving, return_exceptions=True)
    second = await arrived.get()
    await welcome(second, "root")
    said = await second.next_question(PATIENCE)
    tell("after the other name", type(said.message).__name__)


async def abuse(admin: Channel, how: str) -> None:
    """Let the admin in, take the card, and do that to it."""
    hello = await welcome(admin)
    admin.start_keepalive()
    answerer = Answerer()
    serving = asyncio.create_task(admin.serve(answerer))
    await answerer.inserted.wait()
    card = certificates.parse(hello.certificate)
    attack = {"thousand": thousand, "guess": guess, "half-open": half_open}[how]
    await attack(admin, honest_signature(card.algorithm, bytes(range(32))))
    await admin.close("That was all.", final=True)
    await serving


async def main(folder: str, port: str, how: str) -> None:
    async with trap(folder, port) as arrived:
        await (swap(arrived) if how == "swap" else abuse(await arrived.get(), how))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
