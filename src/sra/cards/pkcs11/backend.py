"""A card behind a PKCS#11 module (SoftHSM, an HSM, an eID card), presented as a PIV card (docs/cards.md)."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pkcs11
from pkcs11 import TokenFlag

from sra.cards.base import CardListing
from sra.cards.piv_defaults import pin_policy
from sra.cards.pkcs11.module import LOW_TRIES, Module, module_at
from sra.cards.pkcs11.module_slots import PREFIX, FoundKey, Pkcs11Name, choose_slots, parse_name
from sra.cards.pkcs11.pkcs11_session import ON_PAD, Pkcs11Session
from sra.errors import CardError, KeyMissingError, NoCardError, PinUnfitError, UsageError
from sra.piv.contents import build_contents, describe_keys
from sra.piv.keys import KeyDescription, KeyReply, KeyRequest, PinPolicy, Slot
from sra.piv.objects import GUID_SIZE, CardContents

_POLL = 0.5
"""Seconds between two looks for the card: no module wakes us up, and half a second of it is not seen."""

_CLOSING = 5.0
"""Seconds that the module gets for the logout; it may be waiting for the user at a pad."""

_NO_KEYS = "It has no certificate (readable without a PIN) with a key that a PIV card could have."


@dataclass(frozen=True)
class CardPlace:
    """Where a card is: the module's slot, and what the card calls itself."""

    module: Module
    slot: pkcs11.Slot
    label: str
    serial: str
    maker: str

    @property
    def guid(self) -> bytes:
        """The card's identity: the same for the same card, wherever it is."""
        named = "\0".join(("sra-pkcs11-card", self.maker, self.serial or self.label))
        return hashlib.sha256(named.encode()).digest()[:GUID_SIZE]


@dataclass(frozen=True)
class _Opened:
    """A card as it is presented, and whether it has a pad of its own."""

    keys: dict[Slot, FoundKey]
    contents: CardContents
    has_pin_pad: bool


class Pkcs11Card:
    """An open card behind a module (``base.Card``)."""

    def __init__(self, name: Pkcs11Name, place: CardPlace, session: Pkcs11Session, opened: _Opened) -> None:
        self.name = str(name)
        self._place = place
        self._module = place.module
        self._session = session
        self._keys = opened.keys
        self.contents = opened.contents
        self.has_pin_pad = opened.has_pin_pad
        self._pin: str | None = None

    async def attempts_remaining(self) -> int:
        """PIN tries left, as far as PKCS#11 tells: 3 while all is well, 2 after a wrong one, 1, 0."""
        return await self._module.run(self._session.attempts)

    async def attempts_told(self) -> int | None:
        """PKCS#11 tells only of the last try, and that there is none."""
        tries = await self.attempts_remaining()
        return tries if tries < LOW_TRIES else None

    async def verify_pin(self, pin: bytes) -> None:
        """Log in; PINs of such cards may be longer than PIV's."""
        if not pin:
            raise PinUnfitError("A PIN has at least one character.")
        text = _text(pin)
        self._pin = None
        if await self._module.run(lambda: self._session.login(text)):
            self._pin = text

    async def verify_on_pad(self) -> None:
        """Log in by the card's own pad, or whatever else it has."""
        self._pin = None
        if await self._module.run(lambda: self._session.login(pkcs11.PROTECTED_AUTH)):
            self._pin = ON_PAD

    async def change_pin(self, old: bytes, new: bytes) -> None:
        """Set another PIN; the old one is forgotten."""
        self._pin = None
        before, after = _text(old), _text(new)
        await self._module.run(lambda: self._session.change_pin(before, after))

    async def unblock_pin(self, puk: bytes, new: bytes) -> None:
        """Set a new PIN; the PUK is what PKCS#11 calls the security officer's PIN."""
        self._pin = None
        code, after = _text(puk), _text(new)
        await self._module.run(lambda: self._session.unblock_pin(code, after))

    async def lock(self) -> None:
        """Log out."""
        self._pin = None
        await self._module.run(self._session.logout)

    async def use_key(self, request: KeyRequest) -> KeyReply:
        """Use a key; a PIN that was just verified is good for one use of a key that wants it each time."""
        pin, self._pin = self._pin, None
        key = self._keys.get(request.slot)
        if key is None or key.algorithm is not request.algorithm:
            raise KeyMissingError(f"The card has no {request.algorithm.name} key {request.slot:02X}.")
        return KeyReply(await self._module.run(lambda: self._session.use(key.key_id, request, pin)))

    async def wait_removed(self) -> None:
        """Return when the card is out, or its module fails."""
        number = self._place.slot.slot_id
        try:
            while await self._module.run(  # noqa: ASYNC110 - nothing signals it
                lambda: number in {slot.slot_id for slot in self._module.slots()}
            ):
                await asyncio.sleep(_POLL)
        except CardError:
            return

    async def close(self) -> None:
        """Log out and let the card go."""
        self._pin = None
        ending = asyncio.ensure_future(self._module.run(self._session.logout))
        await asyncio.wait({ending}, timeout=_CLOSING)


class Pkcs11Backend:
    """The cards behind these modules (``base.CardBackend``)."""

    def __init__(self, modules: Sequence[Path]) -> None:
        self._modules = [module_at(path.absolute()) for path in modules]

    async def find(self) -> list[CardListing]:
        """Every card, and every module that can't be used, with what is wrong."""
        listings: list[CardListing] = []
        places: list[CardPlace] = []
        for module in self._modules:
            try:
                places += await _find(module)
            except CardError as error:
                listings.append(CardListing(PREFIX, f"PKCS#11 module {module.path}", str(error)))
        names = _names(places)
        return [await self._list(place, name) for place, name in names.items()] + listings

    async def open(self, name: str) -> Pkcs11Card:
        """Open ``pkcs11:LABEL[#SERIAL][/SLOT=ID,...]``; raise ``UsageError`` or ``CardError``."""
        parsed = parse_name(name)
        if not self._modules:
            raise UsageError("No PKCS#11 module is known: give --module FILE, or pkcs11_modules in your config.toml.")
        return await self._open(await self._place(parsed.card), parsed)

    async def _place(self, card: str) -> CardPlace:
        places = [place for module in self._modules for place in await _find(module)]
        found = [place for place in places if card in (place.label, f"{place.label}#{place.serial}")]
        if not found:
            raise NoCardError(f"There is no card {PREFIX + card!r} now; `sra cards` shows those there are.")
        if len({place.serial for place in found}) > 1:
            raise UsageError(f"Several cards are called {card!r}; choose one as `sra cards` names it.")
        return found[0]

    async def _open(self, place: CardPlace, name: Pkcs11Name) -> Pkcs11Card:
        session = Pkcs11Session(place.slot)
        opened = await place.module.run(lambda: _read(place.guid, session, name))
        return Pkcs11Card(name, place, session, opened)

    async def _list(self, place: CardPlace, name: str) -> CardListing:
        try:
            card = await self._open(place, Pkcs11Name(name.removeprefix(PREFIX)))
        except CardError as error:
            return CardListing(name, place.maker, str(error))
        keys = describe_keys(card.contents.keys)
        return CardListing(name, f"{place.maker}: {keys}" if keys else place.maker, "" if keys else _NO_KEYS)


async def _find(module: Module) -> list[CardPlace]:
    """Where the module's cards are."""

    def look() -> list[CardPlace]:
        places = []
        for slot in module.slots():
            card = slot.get_token()
            if card.flags & TokenFlag.TOKEN_INITIALIZED:
                serial = card.serial.decode("ascii", "replace").strip("\0 ")
                maker = f"{card.manufacturer_id} {card.model}".strip()
                places.append(CardPlace(module, slot, card.label.strip(), serial, maker))
        return places

    return await module.run(look)


def _names(places: Sequence[CardPlace]) -> dict[CardPlace, str]:
    """The names of the cards, each once even where two modules know it; with the serial number where that is needed."""
    known = {(place.label, place.serial): place for place in reversed(places)}
    often = Counter(label for label, _ in known)
    return {
        place: PREFIX + (label if label and often[label] == 1 else f"{label}#{serial}")
        for (label, serial), place in reversed(known.items())
    }


def _read(guid: bytes, session: Pkcs11Session, name: Pkcs11Name) -> _Opened:
    """In the module's thread: the card as it is presented."""
    found = session.read()
    keys = choose_slots(found.keys, name.chosen)
    described = tuple(
        KeyDescription(slot, key.algorithm, _policy(slot, key.key_id, found.shown)) for slot, key in keys.items()
    )
    contents = build_contents(guid, described, {slot: key.certificate for slot, key in keys.items()})
    return _Opened(keys, contents, bool(session.flags() & TokenFlag.PROTECTED_AUTHENTICATION_PATH))


def _policy(slot: Slot, key_id: bytes, shown: dict[bytes, bool]) -> PinPolicy:
    """The standard's policy for the slot, unless the card is known to be stricter with the key."""
    usual = pin_policy(slot)
    if shown.get(key_id):
        return PinPolicy.ALWAYS
    return PinPolicy.ONCE if usual is PinPolicy.NEVER and key_id not in shown else usual


def _text(pin: bytes) -> str:
    """A PIN as PKCS#11 has it; nothing of it gets into an error."""
    try:
        return pin.decode()
    except UnicodeDecodeError:
        raise PinUnfitError("That can be no PIN: it is not UTF-8.") from None
