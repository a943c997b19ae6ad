"""Which key of a card behind a PKCS#11 module is presented in which slot of the PIV card (docs/cards.md). No I/O.

A card is called ``pkcs11:LABEL[#SERIAL][/SLOT=ID,...]``; the serial number tells cards with the same label apart. Slots
that are named get the keys with these CKA_IDs (hexadecimal), and nothing else is presented. Without any, a key that has
the CKA_ID that OpenSC would give a slot's key goes there, if its certificate allows what the slot is for; the others go
by the usages in their certificates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from sra.cards.piv_defaults import algorithm_of
from sra.errors import CardError, KeyMissingError, UsageError
from sra.piv.keys import Algorithm, Operation, Slot, purpose

PREFIX = "pkcs11:"

_CHOICE = re.compile(r"/((?:[0-9A-Fa-f]{2}=(?:[0-9A-Fa-f]{2})+)(?:,[0-9A-Fa-f]{2}=(?:[0-9A-Fa-f]{2})+)*)$")


@dataclass(frozen=True)
class Pkcs11Name:
    """A card's name taken apart; ``card`` is the label, with ``#SERIAL`` or without."""

    card: str
    chosen: dict[Slot, bytes] = field(default_factory=dict)

    def __str__(self) -> str:
        """The whole name."""
        choice = ",".join(f"{slot:02X}={key_id.hex()}" for slot, key_id in self.chosen.items())
        return f"{PREFIX}{self.card}{'/' if choice else ''}{choice}"


def parse_name(text: str) -> Pkcs11Name:
    """The name that the user has given; raise ``UsageError``."""
    if not text.startswith(PREFIX):
        raise UsageError(f"{text!r} is not the name of a card behind a PKCS#11 module; those begin with {PREFIX!r}.")
    card = text.removeprefix(PREFIX)
    found = _CHOICE.search(card)
    if found is None:
        return Pkcs11Name(card)
    pairs = [pair.split("=") for pair in found[1].split(",")]
    chosen = {_slot(slot): bytes.fromhex(key_id) for slot, key_id in pairs}
    if len(chosen) != len(pairs):
        raise UsageError("A slot is given twice in the card's name.")
    return Pkcs11Name(card[: found.start()], chosen)


def _slot(text: str) -> Slot:
    try:
        return Slot(int(text, 16))
    except ValueError as error:
        raise UsageError(f"{text!r} is no slot; those are 9A, 9C, 9D, 9E, and 82 to 95.") from error


OPENSC_IDS: dict[bytes, Slot] = {
    b"\x01": Slot.AUTHENTICATION,
    b"\x02": Slot.SIGNATURE,
    b"\x03": Slot.KEY_MANAGEMENT,
    b"\x04": Slot.CARD_AUTHENTICATION,
} | {bytes.fromhex(f"{5 + number:02d}"): Slot(Slot.RETIRED_1 + number) for number in range(20)}
"""The CKA_ID of each slot's key in OpenSC's PIV driver: 01 to 24, as they read in hexadecimal."""

_DECRYPTING = (Slot.KEY_MANAGEMENT, *sorted(slot for slot in Slot if slot.is_retired))
_LOGIN_USAGES = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SMARTCARD_LOGON})

_MALFORMED = (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.AttributeNotFound)
"""What the library raises for extensions that it can't make sense of. All of them are read before a key is taken."""


@dataclass(frozen=True)
class FoundKey:
    """A certificate on the card (DER), and the CKA_ID that it shares with its private key."""

    key_id: bytes
    certificate: bytes
    algorithm: Algorithm


@dataclass(frozen=True)
class _Usages:
    """What a certificate says that its key is for; all of it where it says nothing."""

    signs: bool
    commits: bool
    decrypts: bool
    logs_in: bool


def found_key(key_id: bytes, certificate: bytes) -> FoundKey | None:
    """A key that a PIV card could have; ``None`` for authorities, other algorithms and damaged certificates."""
    try:
        algorithm = algorithm_of(certificate)
        extensions = x509.load_der_x509_certificate(certificate).extensions
        # Cards keep the certificates of authorities along with the user's.
        is_authority = any(isinstance(one.value, x509.BasicConstraints) and one.value.ca for one in extensions)
    except (CardError, *_MALFORMED):
        return None
    return None if algorithm is None or is_authority else FoundKey(key_id, certificate, algorithm)


def choose_slots(keys: Iterable[FoundKey], chosen: Mapping[Slot, bytes]) -> dict[Slot, FoundKey]:
    """The key of each slot; raise ``KeyMissingError`` if a key is ``chosen`` that is not there."""
    by_age = sorted(keys, key=lambda key: x509.load_der_x509_certificate(key.certificate).not_valid_before_utc)
    newest = {key.key_id: key for key in by_age}
    for slot, key_id in chosen.items():
        if key_id not in newest:
            known = ", ".join(sorted(found.hex() for found in newest)) or "none"
            raise KeyMissingError(
                f"No certificate has the ID {key_id.hex()} chosen for {slot:02X}; there are: {known}."
            )
    if chosen:
        return {slot: newest[key_id] for slot, key_id in chosen.items()}
    placed = {slot: newest[key_id] for key_id, slot in OPENSC_IDS.items() if _fits(newest.get(key_id), slot)}
    rest = [newest[key_id] for key_id in sorted(newest) if newest[key_id] not in placed.values()]
    return dict(sorted(_place_by_usage(placed, rest).items(), key=lambda pair: (pair[0].is_retired, pair[0])))


def _place_by_usage(placed: dict[Slot, FoundKey], rest: list[FoundKey]) -> dict[Slot, FoundKey]:
    """``placed`` and the ``rest``: one key that authenticates, one that signs, and those that decrypt."""
    usages = {key: _usages(key.certificate) for key in rest}
    order = sorted(rest, key=lambda key: (usages[key].commits, not usages[key].logs_in))
    wanted = [
        (Slot.AUTHENTICATION, [key for key in order if usages[key].signs]),
        (Slot.SIGNATURE, [key for key in rest if usages[key].commits]),
        *((slot, [key for key in rest if usages[key].decrypts]) for slot in _DECRYPTING),
    ]
    for slot, candidates in wanted:
        free = [key for key in candidates if key not in placed.values()]
        if slot not in placed and free:
            placed[slot] = free[0]
    return placed


def _fits(key: FoundKey | None, slot: Slot) -> bool:
    if key is None:
        return False
    usages = _usages(key.certificate)
    return usages.signs or usages.commits if purpose(slot, key.algorithm) is Operation.SIGN else usages.decrypts


def _usages(certificate: bytes) -> _Usages:
    extensions = x509.load_der_x509_certificate(certificate).extensions
    logs_in = False
    for extension in extensions:
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            logs_in = bool(_LOGIN_USAGES & set(extension.value))
    for extension in extensions:
        if isinstance(usage := extension.value, x509.KeyUsage):
            decrypts = usage.key_encipherment or usage.data_encipherment or usage.key_agreement
            return _Usages(usage.digital_signature, usage.content_commitment, decrypts, logs_in)
    return _Usages(signs=True, commits=False, decrypts=True, logs_in=logs_in)
