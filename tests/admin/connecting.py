"""The admin's side of a connection to a remote in this process."""

from __future__ import annotations

from pathlib import Path

from sra.admin import session
from sra.admin.cards.base import Card
from sra.admin.guard import KnownPin
from sra.admin.session import PinSource, Remote, Session
from sra.transport.known_remotes import KnownRemotes
from sra.transport.tls_trust import TrustPolicy
from tests.admin.watching import Person, Watching
from tests.loopback import HOST, identity
from tests.memory_card import PIN


class Pins:
    """A person who knows the PIN and is asked for it once."""

    def __init__(self, pin: bytes = PIN) -> None:
        self._pin = pin
        self._known: KnownPin | None = None
        self.asked: list[str] = []

    async def known_pin(self, card: Card, remote: str) -> KnownPin:
        if self._known is None:
            self.asked.append(remote)
            await card.verify_pin(self._pin)
            self._known = KnownPin(self._pin)
        return self._known


def trusting(name: str = "remote") -> TrustPolicy:
    """Trust in the identity of that name and in no other."""
    return TrustPolicy(KnownRemotes(Path("/nonexistent")), lambda *_: False, identity(name).fingerprint)


def remote_at(port: int, name: str = "remote") -> Remote:
    return Remote(HOST, port, trusting(name))


async def connect(
    port: int,
    card: Card,
    *,
    pins: PinSource | None = None,
    watching: Watching | None = None,
    person: Person | None = None,
) -> Session:
    """A session with the remote at that port."""
    return await session.connect(
        remote_at(port), card, pins or Pins(), watching or Watching(), (person or Person()).confirm
    )
