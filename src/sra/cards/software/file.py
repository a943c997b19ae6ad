"""The file of a software card: what is in it, and how it is read, replaced and guarded against other processes.

One JSON file a card, ``NAME.softcard``, 0600 in a folder 0700. It is only ever replaced whole, so that a reader needs
no lock and a crash leaves the old card or the new one; a process that changes it holds a lock on the folder.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from sra.errors import CardError, CardRemovedError, UsageError
from sra.piv.keys import Algorithm, Slot
from sra.system import files

MAX_TRIES = 3
"""Wrong PINs (or PUKs) until the card blocks, as most PIV cards are issued."""

_MAX_FILE = 1 << 20
"""Bytes: 24 RSA 4096 keys with long certificates need a fifth of it."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SUFFIX = ".softcard"


class StoredKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A private key and its certificate (DER).

    ``private`` is PKCS#8, sealed under the card secret; in clear for a key that never wants a PIN (9E).
    """

    slot: Slot
    algorithm: Algorithm
    certificate: bytes
    private: bytes


class StoredCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A PIN or PUK: the card secret sealed under it, and the tries left."""

    sealed: bytes
    tries: int = MAX_TRIES


class CardFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a software card is. ``guid`` has 16 bytes and is the card's identity."""

    version: int
    guid: bytes
    pin: StoredCode
    puk: StoredCode
    keys: tuple[StoredKey, ...]


class CardFolder:
    """The folder of the software cards."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """The cards' names, sorted; none where there is no folder."""
        return sorted(file.name.removesuffix(_SUFFIX) for file in self.path.glob(f"[!.]*{_SUFFIX}"))

    def holds(self, name: str) -> bool:
        """Whether the card's file is there."""
        return self._file(name).exists()

    def read(self, name: str) -> CardFile:
        """The card; raise ``CardRemovedError`` if it is not there, ``CardError`` if its file can't be used."""
        file = self._file(name)
        try:
            with file.open("rb") as opened:
                _check_rights(file, os.fstat(opened.fileno()))
                return _parse(file, opened.read(_MAX_FILE + 1))
        except FileNotFoundError as error:
            raise _missing(name) from error
        except OSError as error:
            raise CardError(f"{file} can't be read: {error.strerror}.") from error

    def check_free(self, name: str) -> None:
        """Raise ``UsageError`` if the name is taken, or can't be one."""
        if self.holds(name):
            raise UsageError(f"There is a software card {name!r} already; choose another name, or remove it first.")

    def check_there(self, name: str) -> None:
        """Raise ``CardRemovedError`` if the card's file is not there."""
        if not self.holds(name):
            raise _missing(name)

    def create(self, name: str, card: CardFile) -> None:
        """Write a new card; raise ``UsageError`` if the name is taken, ``CardError`` if it can't be written."""
        with self.locked():
            self.check_free(name)
            self.replace(name, card)

    def replace(self, name: str, card: CardFile) -> None:
        """Put a changed card in place of the old one. The caller holds the lock."""
        try:
            files.replace(self._file(name), msgspec.json.encode(card), 0o600)
        except files.FileError as error:
            raise CardError(f"{error} The card is as it was.") from error

    def remove(self, name: str) -> None:
        """Delete the card; raise ``CardRemovedError`` if there is none."""
        with self.locked():
            self.check_there(name)
            file = self._file(name)
            file.unlink()
            # What a power cut has left of a change holds the keys too.
            for draft in self.path.glob(f".{file.name}.*"):
                draft.unlink()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """No other process (or thread) changes a card of this folder meanwhile; blocks until that is so."""
        with ExitStack() as stack:
            try:
                files.make_folder(self.path, 0o700)
                stack.enter_context(files.locked_folder(self.path))
            except files.FileError as error:
                raise CardError(f"The folder {self.path} can't be used: {error}") from error
            yield

    def _file(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no name for a software card: use letters, digits, '.', '_' and '-'.")
        return self.path / (name + _SUFFIX)


def _missing(name: str) -> CardRemovedError:
    return CardRemovedError(f"There is no software card {name!r}; `sra softcard list` shows those there are.")


def _check_rights(file: Path, found: os.stat_result) -> None:
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CardError(f"{file} may be read by others, so it is not used; `chmod 600 {file}` mends it.")


def _parse(file: Path, content: bytes) -> CardFile:
    try:
        card = msgspec.json.decode(content, type=CardFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(file.name.removesuffix(_SUFFIX)) from error
    if card.version != 1:
        raise CardError(f"{file} was written by a newer version of this program; update it.")
    if len(card.guid) != 16 or not all(0 <= code.tries <= MAX_TRIES for code in (card.pin, card.puk)):
        raise damaged(file.name.removesuffix(_SUFFIX))
    return card


def damaged(name: str) -> CardError:
    """The one error for a card's file that is not what this program wrote."""
    return CardError(
        f"The file of the software card {name!r} is damaged; restore it, or remove it: `sra softcard remove {name}`."
    )
