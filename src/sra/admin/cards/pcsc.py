"""A real PIV card in a real reader."""

from __future__ import annotations

import asyncio

from sra.admin.cards import pcsc_reader
from sra.admin.cards.base import CardListing
from sra.admin.cards.pcsc_contents import read_contents
from sra.admin.cards.pcsc_reader import ReaderState
from sra.admin.cards.pcsc_removal import wait_removed
from sra.admin.cards.pcsc_session import CardSession
from sra.errors import CardError, NoCardError, NoReaderError, UsageError
from sra.piv.keys import KeyReply, KeyRequest
from sra.piv.objects import CardContents

PREFIX = "pcsc:"

_MAX_PIN = 8
"""Bytes of a PIN (SP 800-73-4 part 2, section 2.4.3)."""

_USUAL_TRIES = 3
"""A card does not tell its tries while the PIN is verified: then it has all of them, at least as many as ever told."""


class PcscCard:
    """An open card in a reader (``base.Card``)."""

    def __init__(self, state: ReaderState, session: CardSession, contents: CardContents) -> None:
        self._state = state
        self._session = session
        self._contents = contents
        self._all_tries = _USUAL_TRIES
        self._is_verified = False

    @property
    def name(self) -> str:
        """``pcsc:READER NAME``."""
        return PREFIX + self._state.name

    @property
    def contents(self) -> CardContents:
        """Everything readable, and the keys, as they were when the card was opened."""
        return self._contents

    async def attempts_remaining(self) -> int:
        """PIN tries left, by a VERIFY without a PIN."""
        tries = await self._session.take_turn(lambda piv: piv.attempts())
        self._all_tries = max(self._all_tries, tries or 0)
        return self._all_tries if tries is None else tries

    async def verify_pin(self, pin: bytes) -> None:
        """Verify the PIN on the card."""
        if not 1 <= len(pin) <= _MAX_PIN:
            raise CardError(f"A PIN has 1 to {_MAX_PIN} characters.")
        await self._session.take_turn(lambda piv: piv.verify(pin))
        self._is_verified = True

    has_pin_pad = False

    async def verify_on_pad(self) -> None:
        """Not offered yet: the PIN is typed on the machine."""
        raise CardError("This reader's PIN pad is not used.")

    async def lock(self) -> None:
        """Have the card forget the verified PIN."""
        await self._session.take_turn(lambda piv: piv.forget_pin())
        self._is_verified = False

    async def use_key(self, request: KeyRequest) -> KeyReply:
        """Have the card use a key."""
        return KeyReply(await self._session.take_turn(lambda piv: piv.use(request)))

    async def wait_removed(self) -> None:
        """Return when the card is out, its reader unplugged, or the smart card service gone."""
        await wait_removed(self._state)

    async def close(self) -> None:
        """Let the card go; reset it if its PIN was verified here, so that nobody else has the use of that."""
        await self._session.close(forget=self._is_verified)


class PcscBackend:
    """The cards in this machine's readers (``base.CardBackend``)."""

    def __init__(self, patience: float = pcsc_reader.PATIENCE) -> None:
        self._patience = patience

    async def find(self) -> list[CardListing]:
        """Every reader, with what is wrong where there is no PIV card in it; raise ``NoReaderError`` without one."""
        states = await asyncio.to_thread(pcsc_reader.list_readers)
        return list(await asyncio.gather(*map(self._list, states)))

    async def open(self, name: str) -> PcscCard:
        """Open ``pcsc:READER NAME``, reading every object once; raise ``CardError``."""
        if not name.startswith(PREFIX):
            raise UsageError(f"{name!r} is not the name of a card in a reader; those begin with {PREFIX!r}.")
        state = await asyncio.to_thread(_find_reader, name.removeprefix(PREFIX))
        session = CardSession(state.name, self._patience)
        await session.connect()
        try:
            contents = await session.take_turn(read_contents)
        except BaseException:
            await session.close(forget=False)
            raise
        return PcscCard(state, session, contents)

    async def _list(self, state: ReaderState) -> CardListing:
        return CardListing(PREFIX + state.name, "card in a reader", await self._problem(state))

    async def _problem(self, state: ReaderState) -> str:
        """Why the card can't be used, or nothing."""
        if not state.has_card:
            return pcsc_reader.NO_CARD
        session = CardSession(state.name, self._patience)
        try:
            await session.connect()
        except CardError as error:
            return str(error)
        await session.close(forget=False)
        return ""


def _find_reader(name: str) -> ReaderState:
    found = {state.name: state for state in pcsc_reader.list_readers()}.get(name)
    if found is None:
        raise NoReaderError(f"There is no reader {name!r} now; `sra cards` shows those there are.")
    if not found.has_card:
        raise NoCardError(pcsc_reader.NO_CARD)
    return found
