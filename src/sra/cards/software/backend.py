"""The embedded card: a PIV card that is a file, for people without a card, for fleets of servers, and for tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sra.cards.base import CardListing
from sra.cards.piv_defaults import algorithm_of, check_pin, check_puk, pin_policy
from sra.cards.software import software_keys
from sra.cards.software.file import CardFile, CardFolder, StoredKey, damaged
from sra.cards.software.vault import change_pin, is_sealed, open_key, open_with_pin, unblock_pin
from sra.errors import CardError, KeyMissingError, PinNeededError, UsageError
from sra.piv.contents import build_contents, describe_keys
from sra.piv.keys import KeyDescription, KeyReply, KeyRequest, PinPolicy, Slot
from sra.piv.objects import CardContents

PREFIX = "software:"

_POLL = 0.2
"""Seconds between two looks for the card's file: a removal that people notice as immediate, at no cost."""


class SoftwareCard:
    """An open software card (``base.Card``). The PIN's state is this object's, not the file's."""

    def __init__(self, folder: CardFolder, name: str, file: CardFile, contents: CardContents) -> None:
        self._folder = folder
        self.name = PREFIX + name
        self._short_name = name
        self._guid = file.guid
        self._stored = {stored.slot: stored for stored in file.keys}
        self.contents = contents
        self._usable: dict[Slot, software_keys.UsableKey] = {}
        self._may_sign = False

    async def attempts_remaining(self) -> int:
        """PIN tries left, as the file says now."""
        file = await asyncio.to_thread(self._folder.read, self._short_name)
        return file.pin.tries

    async def attempts_told(self) -> int:
        """The same: the file tells."""
        return await self.attempts_remaining()

    async def verify_pin(self, pin: bytes) -> None:
        """Verify the PIN; a wrong one also ends what an earlier one had allowed, as on a real card."""
        check_pin(pin)
        self._forget_pin()
        self._usable = await asyncio.to_thread(self._open_keys, pin)
        self._may_sign = True

    has_pin_pad = False

    async def verify_on_pad(self) -> None:
        """There is no pad."""
        raise CardError("A software card has no PIN pad.")

    async def change_pin(self, old: bytes, new: bytes) -> None:
        """Set another PIN in the card's file; it has to be verified again."""
        check_pin(old)
        self._forget_pin()
        await asyncio.to_thread(change_pin, self._folder, self._short_name, self._guid, old, new)

    async def unblock_pin(self, puk: bytes, new: bytes) -> None:
        """Set a new PIN in the card's file by the PUK."""
        check_puk(puk)
        self._forget_pin()
        await asyncio.to_thread(unblock_pin, self._folder, self._short_name, self._guid, puk, new)

    async def lock(self) -> None:
        """Forget the PIN and the keys that it opened."""
        self._forget_pin()

    async def use_key(self, request: KeyRequest) -> KeyReply:
        """Use a key; 9C wants the PIN before each use, the others once, 9E never (SP 800-73-4 part 1, table 4b)."""
        stored = self._stored.get(request.slot)
        if stored is None or stored.algorithm is not request.algorithm:
            raise KeyMissingError(f"The software card has no {request.algorithm.name} key {request.slot:02X}.")
        self._folder.check_there(self._short_name)
        key = self._take_key(stored)
        return KeyReply(await asyncio.to_thread(key.use, request.operation, request.input))

    async def wait_removed(self) -> None:
        """Return when the card's file is gone."""
        while self._folder.holds(self._short_name):  # noqa: ASYNC110 - nothing portable signals the end of a file
            await asyncio.sleep(_POLL)

    async def close(self) -> None:
        """Forget the PIN and the keys that it opened."""
        self._forget_pin()

    def _forget_pin(self) -> None:
        self._usable = {}
        self._may_sign = False

    def _open_keys(self, pin: bytes) -> dict[Slot, software_keys.UsableKey]:
        secret = open_with_pin(self._folder, self._short_name, self._guid, pin)
        return {slot: open_key(key, self._guid, secret) for slot, key in self._stored.items() if is_sealed(slot)}

    def _take_key(self, stored: StoredKey) -> software_keys.UsableKey:
        """The key, if the PIN's state allows it; for 9C that state is used up."""
        if not is_sealed(stored.slot):
            return open_key(stored, self._guid, None)
        is_ready = pin_policy(stored.slot) is not PinPolicy.ALWAYS or self._may_sign
        if stored.slot not in self._usable or not is_ready:
            raise PinNeededError(f"The key {stored.slot:02X} of the software card wants the PIN first.")
        self._may_sign = False
        return self._usable[stored.slot]


class SoftwareBackend:
    """The software cards of one folder (``base.CardBackend``)."""

    def __init__(self, folder: Path) -> None:
        self._folder = CardFolder(folder)

    async def find(self) -> list[CardListing]:
        """Every card of the folder, with what is wrong with those that can't be used."""
        return await asyncio.to_thread(self._find)

    async def open(self, name: str) -> SoftwareCard:
        """Open ``software:NAME``; raise ``UsageError`` for another kind of name, ``CardError`` if it can't be used."""
        if not name.startswith(PREFIX):
            raise UsageError(f"{name!r} is not the name of a software card; those begin with {PREFIX!r}.")
        return await asyncio.to_thread(self._open, name.removeprefix(PREFIX))

    def _open(self, name: str) -> SoftwareCard:
        file = self._folder.read(name)
        return SoftwareCard(self._folder, name, file, describe(name, file))

    def _find(self) -> list[CardListing]:
        listings = []
        for name in self._folder.names():
            try:
                contents = self._open(name).contents
            except CardError as error:
                listings.append(CardListing(PREFIX + name, "software card", str(error)))
            else:
                listings.append(CardListing(PREFIX + name, f"software card: {describe_keys(contents.keys)}"))
        return listings


def describe(name: str, file: CardFile) -> CardContents:
    """What any program may read of the card; raise ``CardError`` if a certificate does not fit its key."""
    for key in file.keys:
        try:
            fits = algorithm_of(key.certificate) is key.algorithm
        except CardError as error:
            raise damaged(name) from error
        if not fits:
            raise damaged(name)
    described = tuple(KeyDescription(key.slot, key.algorithm, pin_policy(key.slot)) for key in file.keys)
    return build_contents(file.guid, described, {key.slot: key.certificate for key in file.keys})
