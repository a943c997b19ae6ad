"""One card in one reader, as PC/SC (through ``pyscard``) knows it. Every call may block: they belong in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from smartcard import scard

from sra.cards.base import CardThread
from sra.checks import WrongError
from sra.errors import CardBusyError, CardError, CardRemovedError, NoCardError, NoReaderError

GET_FEATURES = 3400
"""CM_IOCTL_GET_FEATURE_REQUEST (PC/SC part 10, section 2.2), as SCARD_CTL_CODE takes it."""

_VERIFY_PIN_DIRECT = 0x06
_FEATURE = struct.Struct(">BBI")
"""PCSC_TLV_STRUCTURE: the feature, 4, and the control code that asks for it."""

_SECONDS = 60
"""For the first digit and between two: as long as a user needs to find the reader."""

_VERIFY = bytes.fromhex("0020008008FFFFFFFFFFFFFFFF")
"""VERIFY of the application PIN, into which the reader puts what is typed."""

_STRUCTURE = struct.Struct("=BBBBBHBBHB3sI")


def verify_control(features: bytes) -> int | None:
    """The control code by which the reader verifies a PIN itself; ``None`` if it has no such feature."""
    whole = len(features) - len(features) % _FEATURE.size
    found = {feature: code for feature, _, code in _FEATURE.iter_unpack(features[:whole])}
    return found.get(_VERIFY_PIN_DIRECT)


def verify_structure() -> bytes:
    """The PIN_VERIFY_STRUCTURE (section 2.5.2) for a PIV card, in the machine's byte order."""
    return (
        _STRUCTURE.pack(
            _SECONDS,
            _SECONDS,
            0x82,  # the PIN begins at byte 0, left justified, in ASCII
            0x08,  # in a block of 8 bytes, without its length
            0x00,
            0x0608,  # 6 to 8 digits
            0x02,  # ended by the OK key
            0x01,  # one message,
            0x0409,  # in English,
            0x00,  # the first
            bytes(3),
            len(_VERIFY),
        )
        + _VERIFY
    )


PATIENCE = 10.0
"""Seconds for which another program may keep the card from us: some key uses of the slowest cards."""

_RETRY = 0.1
"""Seconds between two attempts to connect to a card that another program has for itself."""

_REMOVAL_SEEN = 0.5
"""Seconds after which the service has seen that a card is out: it looks for most readers' cards every 0.4 s."""

_FOREVER = 0xFFFFFFFF
"""INFINITE in winscard.h."""

BUSY = "Another program is using the card; wait until it is done, or close it, and try again."
WAITING = "Another program is using the card; waiting for it."
_NO_SERVICE = "The smart card service isn't running; start it (`sudo systemctl start pcscd.socket`), and try again."
_NO_READER = "There is no smart card reader; connect one and try again."
NO_CARD = "There is no card in the reader; put it in and try again."
_REMOVED = "The card was taken out; put it in again."
_MUTE = "The card does not answer; take it out, wipe its contacts, and put it in the right way up."


class CardResetError(CardError):
    """Another program has reset the card, which so has lost its PIN state and its selection."""


_ERRORS: dict[int, tuple[type[CardError], str]] = {
    scard.SCARD_E_NO_SERVICE: (NoReaderError, _NO_SERVICE),
    scard.SCARD_E_SERVICE_STOPPED: (NoReaderError, _NO_SERVICE),
    scard.SCARD_F_COMM_ERROR: (NoReaderError, _NO_SERVICE),
    scard.SCARD_E_INVALID_HANDLE: (
        CardRemovedError,
        "The smart card service was restarted; connect again.",
    ),
    scard.SCARD_E_NO_READERS_AVAILABLE: (NoReaderError, _NO_READER),
    scard.SCARD_E_UNKNOWN_READER: (NoReaderError, "There is no such reader now; `sra cards` shows those there are."),
    scard.SCARD_E_READER_UNAVAILABLE: (CardRemovedError, "The reader was unplugged; connect it again."),
    scard.SCARD_E_NO_SMARTCARD: (NoCardError, NO_CARD),
    scard.SCARD_W_REMOVED_CARD: (CardRemovedError, _REMOVED),
    scard.SCARD_W_RESET_CARD: (CardResetError, "Another program has reset the card; try again."),
    scard.SCARD_W_UNPOWERED_CARD: (CardError, _MUTE),
    scard.SCARD_W_UNRESPONSIVE_CARD: (CardError, _MUTE),
    scard.SCARD_E_PROTO_MISMATCH: (CardError, _MUTE),
    scard.SCARD_E_NOT_TRANSACTED: (CardError, "The card did not answer; take it out, put it in again, and retry."),
    scard.SCARD_E_SHARING_VIOLATION: (CardBusyError, BUSY),
    scard.SCARD_E_NO_ACCESS: (NoReaderError, "You may not use smart cards here; ask for the rights (pcscd, polkit)."),
    scard.SCARD_W_SECURITY_VIOLATION: (NoReaderError, "You may not use this reader; ask for the rights (polkit)."),
}


@dataclass(frozen=True)
class ReaderState:
    """A reader, whether a card is in it, and a number that changes with every insertion and removal."""

    name: str
    has_card: bool
    changes: int


class ReaderConnection:
    """A shared connection to the card in a reader. One thread at a time."""

    def __init__(self, reader: str) -> None:
        self.reader = reader
        self._context = 0
        self._card = 0
        self._protocol = 0

    def connect(self, patience: float, busy: Callable[[], None] = lambda: None) -> None:
        """Connect, waiting ``patience`` seconds for a program that has the card for itself; raise ``CardError``.

        ``busy`` is called once, when there is one.
        """
        self._context = establish()
        deadline = time.monotonic() + patience
        told = False
        while True:
            code, self._card, self._protocol = scard.SCardConnect(self._context, self.reader, *_HOW)
            if code != scard.SCARD_E_SHARING_VIOLATION:
                check(code)
                return
            if time.monotonic() > deadline:
                raise CardBusyError(BUSY)
            if not told:
                busy()
            told = True
            time.sleep(_RETRY)

    @property
    def is_t0(self) -> bool:
        """Whether the card speaks T=0; T=1 otherwise."""
        return bool(self._protocol == scard.SCARD_PROTOCOL_T0)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Let no other program's commands come in between; blocks while another program has a transaction."""
        check(scard.SCardBeginTransaction(self._card))
        try:
            yield
        finally:
            scard.SCardEndTransaction(self._card, scard.SCARD_LEAVE_CARD)

    def transmit(self, apdu: bytes) -> bytes:
        """The card's response to a short APDU."""
        pci = scard.SCARD_PCI_T0 if self.is_t0 else scard.SCARD_PCI_T1
        code, response = scard.SCardTransmit(self._card, pci, list(apdu))
        self._check_answered(code)
        return bytes(response)

    def control(self, code: int, data: bytes) -> bytes:
        """What the reader itself answers to a control code."""
        result, answer = scard.SCardControl(self._card, code, list(data))
        self._check_answered(result)
        return bytes(answer)

    def features(self) -> bytes:
        """The reader's list of features (PC/SC part 10, section 2.2); empty if it has none to tell of."""
        code, features = scard.SCardControl(self._card, scard.SCARD_CTL_CODE(GET_FEATURES), [])
        return bytes(features) if code == scard.SCARD_S_SUCCESS else b""

    def reset(self) -> None:
        """Reset the card, which so forgets its PIN and its selection."""
        code, self._protocol = scard.SCardReconnect(self._card, *_HOW, scard.SCARD_RESET_CARD)
        check(code)

    def reconnect(self) -> None:
        """Take note that the card was reset."""
        code, self._protocol = scard.SCardReconnect(self._card, *_HOW, scard.SCARD_LEAVE_CARD)
        check(code)

    def disconnect(self, forget: bool) -> None:
        """Let the card go; ``forget`` resets it, so that its PIN is not verified any more for any program."""
        if self._card:
            scard.SCardDisconnect(self._card, scard.SCARD_RESET_CARD if forget else scard.SCARD_LEAVE_CARD)
        if self._context:
            scard.SCardReleaseContext(self._context)
        self._card = self._context = 0

    def _check_answered(self, code: int) -> None:
        """Raise what the code stands for; no answer from a card that is out, or will be in a moment, is a removal."""
        deadline = time.monotonic() + _REMOVAL_SEEN
        while code == scard.SCARD_E_NOT_TRANSACTED and time.monotonic() < deadline:
            if not state_of(self._context, self.reader).has_card:
                raise CardRemovedError(_REMOVED)
            time.sleep(_REMOVAL_SEEN / 10)
        check(code)


_HOW = (scard.SCARD_SHARE_SHARED, scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1)


def establish() -> int:
    """A new PC/SC context, to be released; raise ``NoReaderError`` if the service isn't there."""
    code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    check(code)
    return int(context)


def check_pcscd() -> str:
    """Raise ``WrongError`` unless the smart card service answers."""
    code, found = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    if code != scard.SCARD_S_SUCCESS:
        raise WrongError(f"pcscd does not answer: {scard.SCardGetErrorMessage(code)}", "systemctl start pcscd.socket")
    scard.SCardReleaseContext(found)
    return "pcscd answers"


@contextlib.contextmanager
def context() -> Iterator[int]:
    """A PC/SC context for a while."""
    established = establish()
    try:
        yield established
    finally:
        scard.SCardReleaseContext(established)


def list_readers() -> list[ReaderState]:
    """All readers now; raise ``NoReaderError`` if there is none."""
    with context() as established:
        code, names = scard.SCardListReaders(established, [])
        check(code)
        if not names:
            raise NoReaderError(_NO_READER)
        return [state_of(established, name) for name in names]


def state_of(established: int, reader: str) -> ReaderState:
    """How the reader is now; raise ``NoReaderError`` if it is gone."""
    code, states = scard.SCardGetStatusChange(established, 0, [(reader, scard.SCARD_STATE_UNAWARE)])
    check(code)
    return _state(states[0])


def wait_changed(established: int, known: ReaderState) -> None:
    """Block until the card that ``known`` tells of is out, its reader or the service gone, or until ``cancel``."""
    flags, now = scard.SCARD_STATE_UNAWARE, known
    while now.has_card and now.changes == known.changes:
        code, states = scard.SCardGetStatusChange(established, _FOREVER, [(known.name, flags)])
        if code != scard.SCARD_S_SUCCESS:
            return
        flags, now = states[0][1] & ~scard.SCARD_STATE_CHANGED, _state(states[0])


def cancel(established: int) -> None:
    """From another thread: have a ``wait_changed`` of this context return."""
    scard.SCardCancel(established)


def check(code: int) -> None:
    """Raise the ``CardError`` that a PC/SC return code stands for, if it is one."""
    if code == scard.SCARD_S_SUCCESS:
        return
    error, text = _ERRORS.get(code, (CardError, f"The reader failed: {scard.SCardGetErrorMessage(code)}"))
    raise error(text)


def _state(found: tuple[str, int, list[int]]) -> ReaderState:
    name, flags, _ = found
    if flags & (scard.SCARD_STATE_UNKNOWN | scard.SCARD_STATE_UNAVAILABLE):
        return ReaderState(name, has_card=False, changes=-1)
    return ReaderState(name, has_card=bool(flags & scard.SCARD_STATE_PRESENT), changes=flags >> 16)


_CANCEL_RETRY = 0.05
"""Seconds: a cancellation that comes before the waiting has begun is lost, and has to be repeated."""


class _Watch:
    """A wait for the removal, in a thread of its own; ``cancel`` may be called from another one."""

    def __init__(self, state: ReaderState) -> None:
        self._state = state
        self._context: int | None = None

    def run(self) -> None:
        """Return when the card is out, its reader or the service gone, or the wait cancelled."""
        try:
            with context() as established:
                self._context = established
                wait_changed(established, self._state)
        except CardError:
            return

    def cancel(self) -> None:
        if self._context is not None:
            cancel(self._context)


async def wait_removed(state: ReaderState) -> None:
    """Return when the card that ``state`` tells of is out, its reader unplugged, or the service gone."""
    watch = _Watch(state)
    thread = CardThread(f"removal of the card in {state.name}")
    waiting = thread.run(watch.run)
    thread.stop()
    try:
        await asyncio.shield(waiting)
    finally:
        while not waiting.done():
            await asyncio.to_thread(watch.cancel)
            await asyncio.wait({waiting}, timeout=_CANCEL_RETRY)
