"""Which strangers may wait at a listener, and which of them has to go when another one comes. No I/O.

Places are shared by origin, not by connection: the machine or network that has the most strangers here loses its
oldest one, so a flood takes places from itself first. An address from which an admin came in lately has places of its
own, which strangers from elsewhere can neither use nor take. A public key opens nothing here, since it is public: it
counts only together with the address that it last came from, and then only for the order in which strangers have to go.
"""

from __future__ import annotations

import collections
import secrets
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

MAX_ORIGINS = 16384
"""Origins whose arrivals are remembered; past that the oldest are forgotten."""
WIDER = 4
"""How many times as many arrivals as one address a network of addresses may have."""

_PREFIXES_V6 = (6, 7, 8)
"""Bytes of an IPv6 address that name its origin: what a site has (/48), a customer (/56) and a host (/64)."""
_PREFIXES_V4 = (3, 3, 4)
"""The same of an IPv4 address: the smallest network that is routed (/24), and one address."""
_SIZE_V4 = 4
_MAPPED = bytes(10) + b"\xff\xff"
"""In front of an IPv4 address that is written as one of IPv6 (RFC 4291, 2.5.5.2)."""


@dataclass(frozen=True)
class GateLimits:
    """What strangers may use up."""

    strangers: int = 64
    """Connections that have not authenticated yet; and as many again of known admins."""
    per_address: int = 20
    """New connections of one address (IPv6: of one /64) within ``period``."""
    period: float = 10.0
    """Seconds."""
    waiting_per_address: int = 16
    """Strangers of one address at a time."""
    known_per_address: int = 8
    """Places of its own that an address has from which an admin came in lately."""
    per_second: int = 100
    """Strangers that are let in within a second: a handshake takes the server some 2 ms of its processor."""
    crowded: float = 0.5
    """The part of the places from which on newcomers are turned away at random (sshd's MaxStartups)."""
    refused_at_first: float = 0.3
    """The part of them that is turned away then."""
    refused_when_full: float = 0.9
    """The part of them that is turned away when every place is taken: never all, or those inside would decide."""


class KnownAdmins(Protocol):
    """Who came in lately."""

    def is_known(self, origin: str) -> bool:
        """Whether an admin came in from there."""

    def has_card(self, origin: str, key: bytes) -> bool:
        """Whether one came in from there with this very public key."""


class NoKnownAdmins:
    """A listener that remembers no admin."""

    def is_known(self, origin: str) -> bool:
        """Never."""
        return False

    def has_card(self, origin: str, key: bytes) -> bool:
        """Never."""
        return False


@dataclass(eq=False)
class Stranger:
    """A connection that has not authenticated yet. ``origins``: whom it is counted with, from the widest on."""

    origins: tuple[str, ...]
    arrived: float
    put_out: Callable[[], None] = field(repr=False)
    """Ends the connection at once; called when its place is given to another one."""
    is_known: bool = False
    """It has one of its address's own places."""
    has_known_card: bool = False
    """It has shown the public key that an admin came in with from this address."""


class Gate:
    """Counts strangers by their origins. The time is passed in; ``chance`` is a number from 0 up to 1, drawn anew."""

    def __init__(
        self, limits: GateLimits, known: KnownAdmins | None = None, chance: Callable[[], float] | None = None
    ) -> None:
        self._limits = limits
        self._known = known or NoKnownAdmins()
        self._chance = chance or secrets.SystemRandom().random
        self._strangers: set[Stranger] = set()
        self._arrivals: collections.OrderedDict[str, collections.deque[float]] = collections.OrderedDict()
        self._let_in: collections.deque[float] = collections.deque(maxlen=max(1, limits.per_second))

    @property
    def strangers(self) -> int:
        """How many there are."""
        return len(self._strangers)

    def enter(self, origins: tuple[str, ...], now: float, put_out: Callable[[], None]) -> Stranger | None:
        """The newcomer, if it may come in; then ``leave`` has to follow. Another stranger may have to go for it."""
        is_known = self._known.is_known(origins[-1])
        if not self._may_arrive(origins[-1:] if is_known else origins, now):
            return None
        newcomer = Stranger(origins, now, put_out)
        if not (is_known and self._enter_as_known(newcomer)) and not self._enter_as_unknown(newcomer):
            return None
        self._count_arrival(newcomer)
        self._strangers.add(newcomer)
        return newcomer

    def recognise(self, stranger: Stranger, key: bytes) -> None:
        """Note what a stranger has shown. It changes nothing but who goes first among the known of one address."""
        stranger.has_known_card = stranger.is_known and self._known.has_card(stranger.origins[-1], key)

    def leave(self, stranger: Stranger) -> None:
        """It has authenticated, or is gone; nothing happens if it was put out before."""
        self._strangers.discard(stranger)

    def _may_arrive(self, origins: tuple[str, ...], now: float) -> bool:
        """Whether none of its origins comes too often."""
        limits = self._limits
        allowed = dict.fromkeys(origins, limits.per_address * WIDER) | {origins[-1]: limits.per_address}
        for origin, most in allowed.items():
            arrivals = self._arrivals.get(origin, ())
            if sum(1 for at in arrivals if at > now - limits.period) >= most:
                return False
        return True

    def _count_arrival(self, newcomer: Stranger) -> None:
        counted = newcomer.origins[-1:] if newcomer.is_known else newcomer.origins
        for origin in dict.fromkeys(counted):
            most = self._limits.per_address * (1 if origin == newcomer.origins[-1] else WIDER)
            self._arrivals.setdefault(origin, collections.deque(maxlen=most)).append(newcomer.arrived)
            self._arrivals.move_to_end(origin)
        while len(self._arrivals) > MAX_ORIGINS:
            self._arrivals.popitem(last=False)
        if not newcomer.is_known:
            self._let_in.append(newcomer.arrived)

    def _enter_as_known(self, newcomer: Stranger) -> bool:
        """Take a place of the address's own; the oldest there without a card that is known goes first.

        Other machines behind the address can use these places up too, but those of no other address.
        """
        known = [each for each in self._strangers if each.is_known]
        here = [each for each in known if each.origins[-1] == newcomer.origins[-1]]
        if len(here) >= self._limits.known_per_address:
            self._put_out(min(here, key=lambda each: (each.has_known_card, each.arrived)))
        elif len(known) >= self._limits.strangers:  # of one admin who came in from many addresses before
            others = [each for each in _largest([*known, newcomer]) if each is not newcomer] or known
            self._put_out(min(others, key=lambda each: (each.has_known_card, each.arrived)))
        newcomer.is_known = True
        return True

    def _enter_as_unknown(self, newcomer: Stranger) -> bool:
        limits = self._limits
        if len(self._let_in) == self._let_in.maxlen and self._let_in[0] > newcomer.arrived - 1:
            return False
        unknown = [each for each in self._strangers if not each.is_known]
        largest = _largest([*unknown, newcomer])
        if newcomer in largest and self._chance() < self._refused(len(unknown) / limits.strangers):
            return False
        here = [each for each in unknown if each.origins[-1] == newcomer.origins[-1]]
        if len(here) >= limits.waiting_per_address:
            self._put_out(min(here, key=_arrival))
        elif len(unknown) >= limits.strangers:
            others = [each for each in largest if each is not newcomer] or unknown
            self._put_out(min(others, key=_arrival))
        return True

    def _refused(self, taken: float) -> float:
        """The part of the newcomers that is turned away while this part of the places is taken."""
        limits = self._limits
        if taken < limits.crowded or limits.crowded >= 1:
            return 0.0
        rise = (limits.refused_when_full - limits.refused_at_first) / (1 - limits.crowded)
        return limits.refused_at_first + rise * (min(taken, 1.0) - limits.crowded)

    def _put_out(self, stranger: Stranger) -> None:
        self._strangers.discard(stranger)
        stranger.put_out()


def origins_of(address: str) -> tuple[str, ...]:
    """Whom an address is counted with, from the widest network on; an IPv6 host has a whole /64 to itself."""
    plain = address.partition("%")[0]
    packed = socket.inet_pton(socket.AF_INET6 if ":" in plain else socket.AF_INET, plain)
    packed = packed.removeprefix(_MAPPED)  # as bytes: many IPv6 addresses are written with ::ffff: in front
    prefixes = _PREFIXES_V4 if len(packed) == _SIZE_V4 else _PREFIXES_V6
    return tuple(f"{packed[:size].hex()}/{size * 8}" for size in prefixes)


def _largest(strangers: Iterable[Stranger]) -> list[Stranger]:
    """The strangers of the largest origin: of the widest networks those with the most, of their parts again."""
    found = list(strangers)
    for level in range(len(found[0].origins)):
        sizes = collections.Counter(each.origins[level] for each in found)
        most = max(sizes.values())
        found = [each for each in found if sizes[each.origins[level]] == most]
    return found


def _arrival(stranger: Stranger) -> float:
    return stranger.arrived
