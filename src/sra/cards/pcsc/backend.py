"""A real PIV card in a real reader."""

from __future__ import annotations

import asyncio

from sra.cards.base import CardListing
from sra.cards.pcsc import reader as pcsc_reader
from sra.cards.pcsc.pcsc_contents import PcscContents, read_card
from sra.cards.pcsc.pcsc_session import Notice, PcscSession
from sra.cards.pcsc.piv import PcscPivApplication
from sra.cards.pcsc.reader import ReaderState, wait_removed
from sra.cards.piv_defaults import check_new_pin, check_pin, check_puk
from sra.errors import CardError, NoCardError, NoReaderError, PinNeededError, UsageError
from sra.piv.keys import KeyReply, KeyRequest, PinPolicy

PREFIX = "pcsc:"

_USUAL_TRIES = 3
"""A card does not tell its tries while the PIN is verified: then it has all of them, at least as many as ever told."""

_NOT_TOUCHED = "The card was not touched in time; touch it when its light blinks, and try again."


class PcscCard:
    """An open card in a reader (``base.Card``)."""

    def __init__(self, state: ReaderState, session: PcscSession, found: PcscContents, pad: int | None) -> None:
        """Take an open session; ``pad`` is the control code of the reader's PIN pad."""
        self._state = state
        self._session = session
        self.name = PREFIX + state.name
        self.contents = found.contents
        # Of keys that use the PIN up, the PIN's state doesn't tell whether the PIN or a touch was missing.
        self._touched = found.touched - {key.slot for key in found.contents.keys if key.pin_policy is PinPolicy.ALWAYS}
        self._pad = pad
        self._most_told = 0
        self._is_verified = False

    async def attempts_remaining(self) -> int:
        """PIN tries left, by a VERIFY without a PIN."""
        tries = await self._ask_tries()
        return max(self._most_told, _USUAL_TRIES) if tries is None else tries

    async def attempts_told(self) -> int | None:
        """The same, where it is told: a card whose PIN is verified doesn't, but has all tries, as many as ever told."""
        tries = await self._ask_tries()
        return (self._most_told or None) if tries is None else tries

    async def _ask_tries(self) -> int | None:
        tries = await self._session.take_turn(lambda piv: piv.attempts())
        self._most_told = max(self._most_told, tries or 0)
        return tries

    async def verify_pin(self, pin: bytes) -> None:
        """Verify the PIN on the card."""
        check_pin(pin)
        await self._session.take_turn(lambda piv: piv.verify(pin))
        self._is_verified = True

    @property
    def has_pin_pad(self) -> bool:
        """Whether the reader has keys of its own, and a driver that offers them."""
        return self._pad is not None

    async def verify_on_pad(self) -> None:
        """Verify the PIN that is typed on the reader; raise ``PinNeededError`` if none is."""
        pad = self._pad
        if pad is None:
            raise CardError("This reader has no PIN pad; type the PIN on the machine.")
        await self._session.take_turn(lambda piv: self._session.verify_on_pad(piv, pad))
        self._is_verified = True

    async def change_pin(self, old: bytes, new: bytes) -> None:
        """Set another PIN on the card."""
        check_pin(old)
        check_new_pin(new)
        await self._session.take_turn(lambda piv: piv.change_pin(old, new))
        self._is_verified = True

    async def unblock_pin(self, puk: bytes, new: bytes) -> None:
        """Set a new PIN on the card by its PUK."""
        check_puk(puk)
        check_new_pin(new)
        await self._session.take_turn(lambda piv: piv.unblock_pin(puk, new))

    async def lock(self) -> None:
        """Have the card forget the verified PIN, whichever program has verified it."""
        await self._session.take_turn(self._session.forget_pin)
        self._is_verified = False

    async def use_key(self, request: KeyRequest) -> KeyReply:
        """Have the card use a key, for as long as it takes: some keys want to be touched."""
        return KeyReply(await self._session.take_turn(lambda piv: self._use(piv, request)))

    def _use(self, piv: PcscPivApplication, request: KeyRequest) -> bytes:
        try:
            return piv.use(request)
        except PinNeededError as error:  # a YubiKey says the same of a PIN and of a touch that it misses
            if request.slot in self._touched and piv.attempts() is None:
                raise CardError(_NOT_TOUCHED) from error
            raise

    async def wait_removed(self) -> None:
        """Return when the card is out, its reader unplugged, or the smart card service gone."""
        await wait_removed(self._state)

    async def close(self) -> None:
        """Let the card go; reset it if its PIN was verified here, so that no other program has the use of that."""
        await self._session.close(forget=self._is_verified)


class PcscBackend:
    """The cards in this machine's readers (``base.CardBackend``)."""

    def __init__(self, patience: float = pcsc_reader.PATIENCE, notice: Notice = lambda _: None) -> None:
        """Store; ``notice`` is told what the user should know while another program keeps a card for up to so long."""
        self._patience = patience
        self._notice = notice

    async def find(self) -> list[CardListing]:
        """Every reader, with what is wrong where there is no PIV card in it; raise ``NoReaderError`` without one."""
        states = await asyncio.to_thread(pcsc_reader.list_readers)
        return list(await asyncio.gather(*map(self._list, states)))

    async def open(self, name: str) -> PcscCard:
        """Open ``pcsc:READER NAME``, reading every object once; raise ``CardError``."""
        if not name.startswith(PREFIX):
            raise UsageError(f"{name!r} is not the name of a card in a reader; those begin with {PREFIX!r}.")
        state = await asyncio.to_thread(_find_reader, name.removeprefix(PREFIX))
        session = PcscSession(state.name, self._patience, self._notice)
        await session.connect()
        try:
            found, pad = await session.take_turn(lambda piv: (read_card(piv), session.pad_control()))
        except BaseException:
            await session.close(forget=False)
            raise
        return PcscCard(state, session, found, pad)

    async def _list(self, state: ReaderState) -> CardListing:
        problem = "" if state.has_card else pcsc_reader.NO_CARD
        if state.has_card:
            session = PcscSession(state.name, self._patience, self._notice)
            try:
                await session.connect()
            except CardError as error:
                problem = str(error)
            else:
                await session.close(forget=False)
        return CardListing(PREFIX + state.name, "card in a reader", problem)


def _find_reader(name: str) -> ReaderState:
    found = {state.name: state for state in pcsc_reader.list_readers()}.get(name)
    if found is None:
        raise NoReaderError(f"There is no reader {name!r} now; `sra cards` shows those there are.")
    if not found.has_card:
        raise NoCardError(pcsc_reader.NO_CARD)
    return found
