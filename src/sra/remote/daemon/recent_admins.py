"""From where admins came in within the last day, and with which keys: their addresses have places of their own.

Kept in a file, so that a restart in the middle of a flood shuts no admin out. It opens nothing: an admin in it has a
place to wait in, and has to prove everything like any other. A file that can't be read or written is told in the log,
and done without.
"""

from __future__ import annotations

import collections
import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from sra.system import files
from sra.transport.gate import origins_of

LASTING = 24 * 60 * 60.0
"""Seconds for which an admin is remembered."""
MAX_ADDRESSES = 1024
"""Addresses; past that the ones that were longest ago are forgotten."""
MAX_CARDS = 16
"""Keys of one address."""
MAX_PLACES = 16
"""Addresses of one key: its holder could else put every other admin out of the 1024, with the addresses of one /48."""
REFRESH = 60 * 60.0
"""Seconds after which it is written down again that the same admin came."""
MAX_FILE = 4 * 1024 * 1024
"""Bytes: 1024 addresses with 16 keys take less than 2 MiB."""

log = logging.getLogger("sra.network")

_Seen = dict[str, dict[str, float]]
"""By address (or /64), then by the SHA-256 of the card's public key: when, in seconds since 1970."""


class RecentAdmins:
    """The admins who came in lately; ``path`` is where they are kept, if anywhere."""

    def __init__(self, path: Path | None, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._seen: collections.OrderedDict[str, dict[str, float]] = collections.OrderedDict()

    def load(self) -> None:
        """Take up what was kept."""
        if self._path is None:
            return
        try:
            content = files.read_trusted(self._path, MAX_FILE)
            kept = msgspec.json.decode(content.data, type=_Seen) if content is not None else {}
        except (files.FileError, msgspec.DecodeError, ValueError) as error:
            log.warning("which admins came in lately is not known: %s", error)
            return
        newest = sorted(kept.items(), key=lambda item: max(item[1].values(), default=0.0))[-MAX_ADDRESSES:]
        self._seen.update((origin, dict(list(cards.items())[:MAX_CARDS])) for origin, cards in newest)

    def is_known(self, origin: str) -> bool:
        """Whether an admin came in from there."""
        return any(map(self._is_recent, self._seen.get(origin, {}).values()))

    def has_card(self, origin: str, key: bytes) -> bool:
        """Whether one came in from there with this very public key."""
        return self._is_recent(self._seen.get(origin, {}).get(_name(key), 0.0))

    def remember(self, address: str, key: bytes) -> bool:
        """An admin has proven to hold the private key, and was let in; whether that is to be kept.

        The key and not its certificate: its holder can sign any number of those.
        """
        origin, name, now = origins_of(address)[-1], _name(key), self._now()
        cards = self._seen.setdefault(origin, {})
        self._seen.move_to_end(origin)
        if 0 <= now - cards.get(name, 0.0) < REFRESH:
            return False
        cards[name] = now
        self._forget_oldest_places(name)
        while len(cards) > MAX_CARDS:
            del cards[min(cards, key=cards.__getitem__)]
        while len(self._seen) > MAX_ADDRESSES:
            self._seen.popitem(last=False)
        return self._path is not None

    def _forget_oldest_places(self, name: str) -> None:
        """A key of which as many addresses are known as may be loses the one where it was longest ago."""
        places = [origin for origin, cards in self._seen.items() if name in cards]
        for origin in sorted(places, key=lambda place: self._seen[place][name])[:-MAX_PLACES]:
            del self._seen[origin][name]
            if not self._seen[origin]:
                del self._seen[origin]

    def content(self) -> bytes:
        """What is to be kept."""
        recent = {
            origin: lasting
            for origin, cards in self._seen.items()
            if (lasting := {name: at for name, at in cards.items() if self._is_recent(at)})
        }
        return msgspec.json.encode(recent)

    def keep(self, content: bytes) -> None:
        """Write it; never raises."""
        if self._path is None:
            return
        try:
            files.make_folder(self._path.parent, 0o755)
            files.replace(self._path, content, 0o600)
        except files.FileError as error:
            log.warning("which admins came in lately can't be kept: %s", error)

    def _is_recent(self, at: float) -> bool:
        """A time in the future is that of a clock that was wrong."""
        return 0 <= self._now() - at < LASTING


def _name(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()
