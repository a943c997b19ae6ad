"""A conversation with one card behind a PKCS#11 module. Every method belongs in the module's thread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, TokenFlag

from sra.cards.pkcs11.module import USUAL_TRIES, tries_left, wrong_pin, wrong_puk
from sra.cards.pkcs11.module_slots import FoundKey, found_key
from sra.cards.pkcs11.use import KEY_TYPES, use
from sra.errors import KeyMissingError, PinBlockedError, PinNeededError, PinUnfitError, PukBlockedError
from sra.piv.keys import KeyRequest, Slot

ON_PAD = ""
"""In place of the PIN that was just verified: it was typed on the pad."""

MAX_OBJECTS = 256
"""Certificates or keys looked at: ten times what a PIV card can present."""


@dataclass(frozen=True)
class FoundCard:
    """The keys of a card, by their certificates; ``shown`` are those that show before a login.

    It tells of each, by its CKA_ID, whether it always wants the PIN.
    """

    keys: tuple[FoundKey, ...]
    shown: dict[bytes, bool]


@dataclass(frozen=True)
class _Usable:
    """A private key, found once for all its uses; ``always`` if it wants the PIN for each."""

    key: pkcs11.PrivateKey
    always: bool
    mechanisms: frozenset[Mechanism]


class Pkcs11Session:
    """The card in a slot of the module, logged in or not."""

    def __init__(self, slot: pkcs11.Slot) -> None:
        self._slot = slot
        self._session: pkcs11.Session | None = None
        self._is_logged_in = False
        self._keys: dict[tuple[bytes, KeyType], _Usable] = {}
        self._wrong = 0

    def flags(self) -> TokenFlag:
        """What the card says of itself now."""
        return self._slot.get_token().flags

    def attempts(self) -> int:
        """PIN tries left, as far as the card tells, and no more than after the wrong PINs that were seen here."""
        told = tries_left(self.flags())
        return min(told, max(1, USUAL_TRIES - self._wrong))

    def read(self) -> FoundCard:
        """What may be read without a login."""
        with contextlib.closing(self._slot.get_token().open()) as session:
            certificates = _objects(session, ObjectClass.CERTIFICATE)
            pairs = [(_get(each, Attribute.ID), _get(each, Attribute.VALUE)) for each in certificates]
            shown = {_get(key, Attribute.ID): _always(key) for key in _objects(session, ObjectClass.PRIVATE_KEY)}
        keys = (found_key(key_id, certificate) for key_id, certificate in pairs if key_id and certificate)
        return FoundCard(tuple(key for key in keys if key), shown)

    def login(self, pin: str | object) -> bool:
        """Log in, by ``pkcs11.PROTECTED_AUTH`` on the card's own pad; whether some key wants the PIN for each use."""
        self.logout()
        with self._counting():
            try:
                self._session = self._open(user_pin=pin)
            except (pkcs11.PinInvalid, pkcs11.PinLenRange) as error:
                raise PinUnfitError("That can be no PIN of this card: it is too long or too short.") from error
        self._is_logged_in, self._wrong = True, 0
        return any(map(_always, _objects(self._session, ObjectClass.PRIVATE_KEY)))

    def logout(self) -> None:
        """Forget the PIN; a card that is gone has done so."""
        session, self._session = self._session, None
        self._is_logged_in = False
        self._keys = {}
        if session is not None:
            with contextlib.suppress(pkcs11.PKCS11Error):
                session.close()

    def change_pin(self, old: str, new: str) -> None:
        """Set another PIN."""
        self.logout()
        with self._counting(), contextlib.closing(self._slot.get_token().open(rw=True)) as session:
            session.set_pin(old, new)
        self._wrong = 0

    def unblock_pin(self, puk: str, new: str) -> None:
        """Set a new PIN as the security officer, whose PIN is the PUK here."""
        self.logout()
        try:
            session = self._slot.get_token().open(rw=True, so_pin=puk)
        except pkcs11.PinIncorrect as error:
            raise wrong_puk(self.flags()) from error
        except pkcs11.PinLocked as error:
            raise PukBlockedError from error
        with contextlib.closing(session):
            session.init_pin(new)

    def use(self, key_id: bytes, request: KeyRequest, pin: str | None) -> bytes:
        """What the key makes of the input; ``pin`` is the one that was just verified, for keys that always want it."""
        key_type = KEY_TYPES[request.algorithm.is_rsa]
        usable = self._keys.get((key_id, key_type)) or self._find(key_id, key_type, request.slot)
        self._keys[key_id, key_type] = usable
        if usable.always and pin == ON_PAD:  # the library has no way to ask for it again on the pad
            raise KeyMissingError(
                f"The key {request.slot:02X} wants the PIN before each use, which a PIN pad behind PKCS#11 can't give "
                "it. Use the card as pcsc:READER, if it is a PIV card."
            )
        if usable.always and not pin:
            raise PinNeededError(f"The key {request.slot:02X} wants the PIN before each use.")
        with self._counting():
            return use(usable.key, request, usable.mechanisms, pin if usable.always else None)

    def _find(self, key_id: bytes, key_type: KeyType, slot: Slot) -> _Usable:
        self._slot.get_token()  # a card that is gone is told here: the library complains if it goes during a search
        if self._session is None:
            self._session = self._open()
        for key in _objects(self._session, ObjectClass.PRIVATE_KEY, {Attribute.ID: key_id}):
            if isinstance(key, pkcs11.PrivateKey) and _get(key, Attribute.KEY_TYPE) == key_type:
                return _Usable(key, _always(key), frozenset(self._slot.get_mechanisms()))
        if not self._is_logged_in:
            raise PinNeededError(f"The card wants its PIN before it uses the key {slot:02X}.")
        raise KeyMissingError(f"The card has a certificate for {slot:02X}, but not its private key.")

    def _open(self, **login: Any) -> pkcs11.Session:
        """A session that may write: a login that fails leaves it behind, and another would bar the officer."""
        try:
            return self._slot.get_token().open(rw=True, **login)
        except pkcs11.TokenWriteProtected:
            return self._slot.get_token().open(**login)

    @contextlib.contextmanager
    def _counting(self) -> Iterator[None]:
        """A wrong PIN is counted, and becomes an error that tells the tries."""
        try:
            yield
        except pkcs11.PinIncorrect as error:
            self._wrong += 1
            raise wrong_pin(self.flags(), self.attempts()) from error
        except pkcs11.PinLocked as error:
            raise PinBlockedError from error


def _objects(
    session: pkcs11.Session, kind: ObjectClass, more: dict[Attribute, Any] | None = None
) -> list[pkcs11.Object]:
    found = session.get_objects({Attribute.CLASS: kind, **(more or {})})
    return [one for one, _ in zip(found, range(MAX_OBJECTS), strict=False)]


def _always(key: pkcs11.Object) -> bool:
    """Whether the key wants the PIN for each use."""
    return bool(_get(key, Attribute.ALWAYS_AUTHENTICATE))


def _get(found: pkcs11.Object, attribute: Attribute) -> Any:
    """An attribute, ``None`` where the object has none of the kind."""
    try:
        return found[attribute]
    except (pkcs11.AttributeTypeInvalid, pkcs11.AttributeSensitive, pkcs11.FunctionFailed):
        return None
