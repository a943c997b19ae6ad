"""The text of the file of pairings: decoded strictly, and changed without touching people's comments. No I/O.

An entry that can't be understood opens nothing and is reported; the others count, and can be removed.
"""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from sra.errors import UsageError
from sra.identity.certificates import HashName
from sra.logs import clean

HASHES: tuple[HashName, ...] = ("sha256", "sha1")
"""The hashes by which a card is found, the better one first."""

_HEADER = b"""\
# Which card opens which account. A card is known by the hash of its public key.
# Add one with: sra pair ACCOUNT --certificate FILE      Remove one with: sra unpair ACCOUNT

"""
_ACCOUNT = re.compile(r"(?![0-9]+\Z)[A-Za-z0-9_][A-Za-z0-9._-]{0,31}")
_HASH = re.compile(r"(?:sha1:)?(?P<sha1>[0-9a-f]{40})|(?:sha256:)?(?P<sha256>[0-9a-f]{64})")
_ENTRY = re.compile(r"^[ \t]*\[\[[ \t]*pairing[ \t]*\]\]", re.MULTILINE)
MAX_PROBLEM = 400
"""Characters of a problem that is reported about an entry."""


log = logging.getLogger("sra.pairing")


class DamagedError(UsageError):
    """The text is not a list of pairings; the message says where."""


class Pairing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A card that opens an account.

    ``hash`` is ``sha256:HEX`` or ``sha1:HEX`` of the public key (``CardCertificate.public_key_hash``); ``subject``
    and ``added`` are for people.
    """

    account: str
    hash: str
    subject: str = ""
    added: date | None = None

    def __post_init__(self) -> None:
        """Refuse an impossible account or hash (``ValueError``, as the decoder needs)."""
        try:
            check_account_name(self.account)
            msgspec.structs.force_setattr(self, "hash", parse_hash(self.hash))
        except UsageError as error:
            raise ValueError(str(error)) from error


class _PairingFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pairing: tuple[object, ...] = ()


@dataclass(frozen=True)
class BadEntry:
    """An entry that can't be understood and opens nothing; ``problem`` says where it is and what is wrong."""

    problem: str


@dataclass(frozen=True)
class Reading:
    """Every entry of the file, in its order."""

    entries: tuple[Pairing | BadEntry, ...] = ()

    @cached_property
    def pairings(self) -> tuple[Pairing, ...]:
        """The entries that can be understood."""
        return tuple(entry for entry in self.entries if isinstance(entry, Pairing))

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the other entries."""
        return tuple(entry.problem for entry in self.entries if isinstance(entry, BadEntry))


def check_account_name(name: str) -> None:
    """Raise ``UsageError`` unless it may name an account: POSIX's portable characters, at most 32, not a number."""
    if not _ACCOUNT.fullmatch(name):
        raise UsageError(f"“{clean(name)}” can't be an account: use letters, digits, “.”, “_” and “-”, at most 32.")


def parse_hash(text: str) -> str:
    """A hash of a public key in its one form, ``sha1:HEX`` or ``sha256:HEX``; its name may be missing.

    Raises ``UsageError`` if it is neither.
    """
    match = _HASH.fullmatch(text.strip().lower())
    if match is None:
        raise UsageError(f"“{clean(text)}” is not a hash of a public key. Write sha256:HEX or sha1:HEX.")
    return f"{match.lastgroup}:{match[str(match.lastgroup)]}"


def decode(data: bytes) -> Reading:
    """The file's entries; raise ``DamagedError`` if it is no list of pairings at all."""
    try:
        text = data.decode()
        entries = msgspec.convert(tomllib.loads(text), _PairingFile).pairing
    except msgspec.ValidationError as error:
        raise DamagedError(f"{error}. Correct it: until then nobody gets in.") from error
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"this is not TOML: {error}. Correct it: until then nobody gets in.") from error
    return Reading(tuple(_entry(text, position, entry) for position, entry in enumerate(entries)))


def _entry(text: str, position: int, entry: object) -> Pairing | BadEntry:
    try:
        return msgspec.convert(entry, Pairing)
    except (msgspec.ValidationError, RecursionError) as error:
        problem = clean(str(error), MAX_PROBLEM)
        return BadEntry(f"{_line_of(text, position)}{problem}. This pairing opens nothing: correct it, or remove it.")


def with_added(data: bytes | None, pairing: Pairing) -> bytes:
    """The file (``None``: there was none) with one more pairing at its end; raise ``DamagedError`` if that fails."""
    old = _HEADER if data is None else data
    return _changed(old, lambda document: _append(document, pairing), (*_kinds(decode(old)), pairing))


def without(data: bytes, positions: Sequence[int]) -> bytes:
    """The file without the entries at these positions; raise ``DamagedError`` if that fails."""
    kept = tuple(entry for at, entry in enumerate(_kinds(decode(data))) if at not in positions)
    return _changed(data, lambda document: _remove(document, positions), kept)


def _kinds(reading: Reading) -> tuple[Pairing | None, ...]:
    """The entries, with ``None`` for a bad one, since its line number may change."""
    return tuple(entry if isinstance(entry, Pairing) else None for entry in reading.entries)


def _changed(
    data: bytes, change: Callable[[tomlkit.TOMLDocument], None], expected: tuple[Pairing | None, ...]
) -> bytes:
    """The changed file, if it decodes to exactly these entries: a TOML library's mistake must not let anyone in."""
    try:
        document = tomlkit.parse(data)
        change(document)
        changed = tomlkit.dumps(document).encode()
        if _kinds(decode(changed)) == expected:
            return changed
    except (TOMLKitError, DamagedError, TypeError, ValueError, RecursionError):
        log.debug("the list can't be changed as it is written", exc_info=True)
    raise DamagedError("this command can't change it as it is written. Edit it by hand.")


def _append(document: tomlkit.TOMLDocument, pairing: Pairing) -> None:
    entry = tomlkit.table()
    for key, value in msgspec.structs.asdict(pairing).items():
        if value not in {None, ""}:
            entry.append(key, value)
    entry.add(tomlkit.nl())
    _drop_empty_list(document)
    entries: Any = document.setdefault("pairing", tomlkit.aot())
    entries.append(entry)


def _remove(document: tomlkit.TOMLDocument, positions: Sequence[int]) -> None:
    entries: Any = document["pairing"]
    for position in sorted(positions, reverse=True):
        del entries[position]
    _drop_empty_list(document)


def _drop_empty_list(document: tomlkit.TOMLDocument) -> None:
    """Remove an empty list: it is written in one line, to which no table can be added."""
    if "pairing" in document and not document["pairing"]:
        document.remove("pairing")


def _line_of(text: str, position: int) -> str:
    """``line N: ``, where the entry begins; empty if that is unknown."""
    entries = list(_ENTRY.finditer(text))
    if position >= len(entries):
        return ""
    return f"line {text.count(chr(10), 0, entries[position].start()) + 1}: "
