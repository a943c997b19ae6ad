"""The admin's machine of ours: the session that ``sra connect`` runs, driven by lines on stdin.

    python -m benchmarks.admin_side PORT FOLDER

The lines: ``connect``, ``insert`` (the PIN is typed on the remote), ``insert-pad`` (the PIN pad, which always agrees),
``eject``, ``close``, ``pause``, ``resume`` (then questions stay unanswered) and ``asked`` (wait for a question).
``connect`` is answered with how many seconds it took, the others with when they were decided (CLOCK_MONOTONIC).

The card's PIN is verified beforehand: what a person takes to type it belongs to nobody's figures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from benchmarks.keys import PIN
from benchmarks.links import read_lines
from benchmarks.softcard import open_verified
from sra.admin import session
from sra.admin.events import Event
from sra.admin.guard.lending import GuardSettings, LentCard, PauseSwitch
from sra.admin.guard.pin_entry import PinEntry
from sra.admin.guard.pin_memory import PinMemory
from sra.admin.guard.questions import PersonReply, PinGiven, PinQuestion, UseQuestion
from sra.admin.guard.unlocking import Unlocking
from sra.admin.session import AdminSession, RemoteEndpoint
from sra.cards.base import Card
from sra.errors import SraError
from sra.piv.keys import Slot
from sra.transport.known_remotes import KnownRemotes
from sra.transport.tls_trust import TrustPolicy

SLOTS = (Slot.AUTHENTICATION,)


class Agreeable:
    """Nobody watches, and whoever is asked says yes; the PIN was given long ago. Unless questions are to wait."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.decided = asyncio.Event()
        self.decided.set()

    def notice(self, event: Event) -> None:
        """Do nothing."""

    async def ask_pin(self, question: PinQuestion, waiting: int) -> PinGiven:
        """Yes, the PIN that is kept."""
        self.asked.set()
        await self.decided.wait()
        return PinGiven(PersonReply.YES)

    async def ask_use(self, question: UseQuestion, waiting: int) -> PersonReply:
        """Yes."""
        return PersonReply.YES


def _lender(card: Card, person: Agreeable) -> LentCard:
    memory = PinMemory(keep_seconds=float("inf"))
    memory.learn_right(PIN.encode())
    return LentCard(card, person, person, GuardSettings(PinEntry.FORWARD), memory, PauseSwitch(person))


class Unlocked(Unlocking):
    """The card was unlocked long ago."""

    async def unlock(self, remote: str, *, again: bool = False) -> None:
        """Nothing is to be done."""


class AdminSide:
    """One card, and at most one session."""

    def __init__(self, port: int, card: Card, known_remotes: Path) -> None:
        trust = TrustPolicy(KnownRemotes(known_remotes), lambda _host, _fingerprint: True)
        self._remote = RemoteEndpoint("127.0.0.1", port, trust)
        self._person = Agreeable()
        self._lender = _lender(card, self._person)
        self._session: AdminSession | None = None

    async def obey(self, command: str) -> float:
        """Do what a line says; its answer."""
        if command == "connect":
            return await self.connect()
        decided = time.monotonic()
        if command in ("pause", "resume"):
            self._pause(paused=command == "pause")
        elif command == "asked":
            await self._person.asked.wait()
        elif command == "close":
            await self.close()
        elif command == "eject":
            await self._connected.eject("The benchmark ejects it.")
        else:
            await self._connected.insert(SLOTS, pin_pad=command == "insert-pad")
        return decided

    async def connect(self) -> float:
        """Connect; the seconds until the connection was authenticated."""
        start = time.monotonic()
        self._session = await session.connect(self._remote, self._lender, Unlocked(self._lender))
        return time.monotonic() - start

    def _pause(self, *, paused: bool) -> None:
        self._person.decided.clear()
        self._person.asked.clear()
        self._lender.switch.pause(paused=paused)

    async def close(self) -> None:
        """End the session, if there is one."""
        if self._session is not None:
            await self._session.close("The benchmark disconnects.")
            self._session = None

    @property
    def _connected(self) -> AdminSession:
        if self._session is None:
            raise RuntimeError("not connected")
        return self._session


async def serve(port: int, folder: Path) -> None:
    """Do what stdin says."""
    admin = AdminSide(port, await open_verified(folder), folder / "known_remotes")
    print("ready", flush=True)
    async for line in read_lines():
        print(json.dumps(await _tried(admin, line)), flush=True)


async def _tried(admin: AdminSide, command: str) -> float | None:
    """The answer to a command; ``None`` if it failed, which is said on stderr."""
    try:
        return await admin.obey(command)
    except SraError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return None


def main() -> None:
    """Serve until stdin ends."""
    port, folder = sys.argv[1:]
    asyncio.run(serve(int(port), Path(folder)))


if __name__ == "__main__":
    main()
