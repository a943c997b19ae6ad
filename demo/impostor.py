"""An admin that shows another person's certificate and signs with a key of its own: what it is told.

python -m demo.impostor HOST FINGERPRINT CARDS_DIR SHOWN_CARD OWN_CARD < PIN
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sra.admin.events import Event
from sra.admin.guard.lending import GuardSettings, LentCard, PauseSwitch
from sra.admin.guard.pin_memory import PinMemory
from sra.admin.guard.questions import PersonReply, PinGiven, PinQuestion, UseQuestion
from sra.admin.guard.unlocking import Unlocking
from sra.admin.session import RemoteEndpoint, connect
from sra.cards.base import Card
from sra.cards.software.backend import SoftwareBackend
from sra.errors import RefusedError
from sra.paths import DEFAULT_PORT
from sra.piv.keys import KeyReply, KeyRequest
from sra.piv.objects import CardContents
from sra.transport.known_remotes import KnownRemotes
from sra.transport.tls_trust import TrustPolicy


class Impostor:
    """Says what one card says and signs with another."""

    def __init__(self, shown: Card, own: Card, pin: bytes) -> None:
        self._shown = shown
        self._own = own
        self._pin = pin
        self.name = shown.name

    @property
    def contents(self) -> CardContents:
        """What the other person's card says."""
        return self._shown.contents

    async def attempts_remaining(self) -> int:
        """Of the own card."""
        return await self._own.attempts_remaining()

    async def attempts_told(self) -> int | None:
        """Of the own card."""
        return await self._own.attempts_told()

    async def verify_pin(self, pin: bytes) -> None:
        """Of the own card."""
        await self._own.verify_pin(pin)

    has_pin_pad = False

    async def verify_on_pad(self) -> None:
        """There is no pad."""

    async def change_pin(self, old: bytes, new: bytes) -> None:
        """Of the own card."""
        await self._own.change_pin(old, new)

    async def unblock_pin(self, puk: bytes, new: bytes) -> None:
        """Of the own card."""
        await self._own.unblock_pin(puk, new)

    async def lock(self) -> None:
        """Lock the own card."""
        await self._own.lock()

    async def use_key(self, request: KeyRequest) -> KeyReply:
        """Sign with the own card."""
        return await self._own.use_key(request)

    async def wait_removed(self) -> None:
        """Of the own card."""
        await self._own.wait_removed()

    async def close(self) -> None:
        """Close both."""
        await self._own.close()
        await self._shown.close()

    def notice(self, event: Event) -> None:
        """Nothing is shown."""

    async def ask_pin(self, question: PinQuestion, waiting: int) -> PinGiven:
        """The own card's PIN."""
        return PinGiven(PersonReply.YES, self._pin)

    async def ask_use(self, question: UseQuestion, waiting: int) -> PersonReply:
        """Nothing is allowed."""
        return PersonReply.NO


async def _try(host: str, fingerprint: str, folder: str, shown: str, own: str) -> None:
    backend = SoftwareBackend(Path(folder))
    pin = sys.stdin.readline().strip().encode()
    impostor = Impostor(await backend.open(shown), await backend.open(own), pin)
    trust = TrustPolicy(KnownRemotes(Path("/nonexistent")), lambda *_: False, fingerprint)
    try:
        lender = LentCard(impostor, impostor, impostor, GuardSettings(), PinMemory(0), PauseSwitch(impostor))
        await connect(RemoteEndpoint(host, DEFAULT_PORT, trust), lender, Unlocking(lender))
    except RefusedError as error:
        sys.stdout.write(f"{error.code}: {error.text}\n")
    else:
        sys.exit("the impostor was let in")


if __name__ == "__main__":
    asyncio.run(_try(*sys.argv[1:6]))
