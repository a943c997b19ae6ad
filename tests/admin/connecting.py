"""The admin's side of a connection to a remote in this process."""

from __future__ import annotations

from pathlib import Path

from sra.admin import session
from sra.admin.guard.lending import GuardSettings, LentCard
from sra.admin.guard.unlocking import Unlocking
from sra.admin.session import AdminSession, RemoteEndpoint
from sra.cards.base import Card
from sra.transport.known_remotes import KnownRemotes
from sra.transport.tls_trust import TrustPolicy
from tests.admin.watching import Person, Watching, lender
from tests.loopback import HOST, identity
from tests.memory_card import PIN


class Pins(Person):
    """A person who is asked for the PIN at connect, and lends the same card to one connection after the other."""

    def __init__(self, pin: bytes = PIN, *, agrees: bool = True) -> None:
        super().__init__(agrees=agrees, pin=pin)
        self._unlocking: Unlocking | None = None
        self._lender: LentCard | None = None

    def lend(self, card: Card, watching: Watching, terms: GuardSettings | None) -> tuple[LentCard, Unlocking]:
        if self._lender is None or self._unlocking is None:
            self._lender = lender(card, watching=watching, person=self, terms=terms)
            self._unlocking = Unlocking(self._lender)
        return self._lender, self._unlocking


def trusting(name: str = "remote") -> TrustPolicy:
    """Trust in the identity of that name and in no other."""
    return TrustPolicy(KnownRemotes(Path("/nonexistent")), lambda *_: False, identity(name).fingerprint)


def remote_at(port: int, name: str = "remote") -> RemoteEndpoint:
    return RemoteEndpoint(HOST, port, trusting(name))


async def connect(
    port: int,
    card: Card,
    *,
    pins: Pins | None = None,
    watching: Watching | None = None,
    person: Person | None = None,
    terms: GuardSettings | None = None,
) -> AdminSession:
    """A session with the remote at that port."""
    lending = pins or Pins(agrees=person is None or person.agrees)
    if person is not None:
        person.asked = lending.asked
    return await session.connect(remote_at(port), *lending.lend(card, watching or Watching(), terms))
