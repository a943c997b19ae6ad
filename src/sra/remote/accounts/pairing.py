"""Pairings: which card opens which account, in one file that people can read and edit.

A card is known by a hash of its public key (as on macOS), so a renewed certificate of the same key stays paired. One
card opens one account. A damaged file lets nobody in; a damaged entry in it opens nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sra.errors import RefusalCode, RefusedError, UsageError
from sra.identity.certificates import CardCertificate
from sra.logs import clean
from sra.remote.accounts import pairing_file
from sra.remote.accounts.pairing_file import HASHES, Pairing, Reading, check_account_name, parse_hash
from sra.remote.accounts.watched_file import WatchedFile
from sra.system import files

MAX_FILE = 4 * 1024 * 1024
"""Bytes of the file: a pairing takes about 200, so some 20,000 cards."""

MAX_LABEL = 256
"""Characters of a card's label, which is only for people."""

log = logging.getLogger("sra.pairing")


class PairingFileError(files.FileError):
    """The file of pairings is damaged: nobody gets in until it is corrected."""


@dataclass(frozen=True)
class LookupStep:
    """One step of finding an account: the rule that was tried, and its outcome."""

    rule: str
    outcome: str


@dataclass(frozen=True)
class _Snapshot:
    """The file's content (``None``: there is no file), its entries, and hash -> accounts."""

    data: bytes | None
    reading: Reading
    accounts: dict[str, frozenset[str]]

    def accounts_of(self, hashes: Iterable[str]) -> set[str]:
        """The accounts that a card with any of these hashes opens."""
        return {account for key in hashes for account in self.accounts.get(key, ())}


class PairingStore:
    """The file of pairings at ``path``; ``host`` is the name of this machine in messages.

    The file is read again only if it has changed. Methods do I/O: one system call when nothing has changed.
    """

    def __init__(self, path: Path, host: str = "") -> None:
        self._path = path
        self._host = host or os.uname().nodename
        self._file = WatchedFile(path, MAX_FILE, self._decode)

    def pairings(self) -> tuple[Pairing, ...]:
        """All pairings, in the file's order; raise ``FileError`` if the file is damaged or not trusted."""
        return self._file.current().reading.pairings

    def problems(self) -> tuple[str, ...]:
        """What is wrong with the entries that open nothing; raise ``FileError`` as ``pairings`` does."""
        return tuple(f"{self._path}: {problem}" for problem in self._file.current().reading.problems)

    def find_account(self, certificate: CardCertificate) -> str:
        """The account that the card opens.

        Raises ``RefusedError``: ``NOT_PAIRED`` if there is none or more than one, ``INTERNAL`` if the file is damaged
        (the log says where).
        """
        try:
            snapshot = self._file.current()
        except files.FileError as error:
            log.error("nobody gets in: %s", error)  # noqa: TRY400 - it says what to do; a traceback would hide it
            text = f"The pairings of {self._host} can't be read. Its administrator finds the reason in its log."
            raise RefusedError(RefusalCode.INTERNAL, text) from error
        accounts = sorted(snapshot.accounts_of(certificate.public_key_hash(name) for name in HASHES))
        if len(accounts) == 1:
            return accounts[0]
        if accounts:
            log.error("one card is paired with %s: nobody gets in with it", " and ".join(accounts))
            text = f"This card is paired with more than one account on {self._host}. Run there: sra unpair ACCOUNT"
            raise RefusedError(RefusalCode.NOT_PAIRED, text)
        command = f"sra pair ACCOUNT --hash {certificate.public_key_hash('sha256')}"
        text = f"This card is not paired with an account on {self._host}. As root, run there: {command}"
        raise RefusedError(RefusalCode.NOT_PAIRED, text)

    def explain(self, certificate: CardCertificate) -> list[LookupStep]:
        """What ``find_account`` finds, rule by rule; raise ``FileError`` if the file is damaged."""
        accounts = self._file.current().accounts
        hashes = [certificate.public_key_hash(name) for name in HASHES]
        return [
            LookupStep(f"pairing {key}", " and ".join(sorted(accounts.get(key, ()))) or "no pairing") for key in hashes
        ]

    def pair(self, account: str, key_hash: str, label: str = "") -> bool:
        """Let the card with this hash open the account; return ``False`` if it does already.

        Raises ``UsageError`` if the card is paired with another account, ``FileError`` if the file is damaged.
        """
        return self._add(account, (parse_hash(key_hash),), label)

    def pair_certificate(self, account: str, certificate: CardCertificate) -> bool:
        """As ``pair``, by the SHA-256 of the certificate's key; a pairing by its SHA-1 counts as well."""
        hashes = [certificate.public_key_hash(name) for name in HASHES]
        return self._add(account, hashes, certificate.subject)

    def unpair(self, account: str, key_hash: str | None = None) -> tuple[Pairing, ...]:
        """Remove the account's pairings, or only the one with this hash; return the removed ones.

        Raises ``UsageError`` if there is none, ``FileError`` if the file is damaged.
        """
        check_account_name(account)
        wanted = None if key_hash is None else parse_hash(key_hash)
        if not files.stamp(self._path):
            raise _no_such_pairing(account)
        with files.locked(self._path):
            snapshot = self._file.read()
            gone = {
                at: entry
                for at, entry in enumerate(snapshot.reading.entries)
                if isinstance(entry, Pairing) and entry.account == account and wanted in {None, entry.hash}
            }
            if snapshot.data is None or not gone:
                raise _no_such_pairing(account)
            with self._naming_file():
                data = pairing_file.without(snapshot.data, list(gone))
            self._write(data)
        return tuple(gone.values())

    def _add(self, account: str, hashes: Sequence[str], label: str) -> bool:
        """Pair the card, which has all these hashes, by the first one."""
        check_account_name(account)
        files.make_folder(self._path.parent, 0o755)
        with files.locked(self._path):
            snapshot = self._file.read()
            accounts = snapshot.accounts_of(hashes)
            if accounts - {account}:
                other = min(accounts - {account})
                raise UsageError(f"This card is paired with {other}. To change that, run first: sra unpair {other}")
            if accounts:
                return False
            pairing = Pairing(account, hashes[0], clean(label, MAX_LABEL), datetime.now(UTC).date())
            with self._naming_file():
                data = pairing_file.with_added(snapshot.data, pairing)
            self._write(data)
        return True

    def _decode(self, data: bytes | None) -> _Snapshot:
        if data is None:
            return _Snapshot(None, Reading(), {})
        with self._naming_file():
            reading = pairing_file.decode(data)
        for problem in reading.problems:
            log.warning("%s: %s", self._path, problem)
        accounts: dict[str, frozenset[str]] = {}
        for pairing in reading.pairings:
            accounts[pairing.hash] = accounts.get(pairing.hash, frozenset()) | {pairing.account}
        return _Snapshot(data, reading, accounts)

    def _write(self, data: bytes) -> None:
        if len(data) > MAX_FILE:
            raise PairingFileError(self._path, f"it would be longer than {MAX_FILE} bytes. Remove old pairings first.")
        files.replace(self._path, data, 0o644)

    @contextmanager
    def _naming_file(self) -> Iterator[None]:
        """Turn an error in the text into one that names the file."""
        try:
            yield
        except pairing_file.DamagedError as error:
            raise PairingFileError(self._path, str(error)) from error


def _no_such_pairing(account: str) -> UsageError:
    return UsageError(f"{account} has no such pairing. “sra pairings” shows what there is.")
