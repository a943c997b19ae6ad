"""The licenses that are installed on this machine, and whether one of them is valid.

Signatures are verified again only when a file has changed; each connection only checks the files' times and the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sra.errors import UsageError
from sra.remote.license import issuers, profile, statement
from sra.remote.license.latest_time import LatestTime
from sra.remote.license.statement import License, LicenseError, LicenseProblem
from sra.system import files

MAX_PROFILE = 256 * 1024
"""Bytes: a profile with one license takes 3 KiB, and an envelope with a chain of certificates some 10 more."""
INSTALLED_NAME = "license.mobileconfig"
LOOK_AT_CLOCK = 60.0
"""Seconds between two checks of the clock: its time is written every few minutes, and soon after a license expires."""
PROFILES, KEYS = ".mobileconfig", ".pem"
"""The endings of the files that are read."""

_RANKS = {problem: rank for rank, problem in enumerate(LicenseProblem)}

log = logging.getLogger("sra.license")


@dataclass(frozen=True)
class Installed:
    """A license that was found in a file, or what is wrong with it."""

    path: Path
    outcome: License | LicenseError


@dataclass(frozen=True)
class _Snapshot:
    """The content of the files when they had these stamps (``None``: read them again)."""

    stamps: tuple[object, ...] | None
    trusted: dict[str, Ed25519PublicKey]
    found: tuple[Installed, ...]
    problems: tuple[UsageError, ...]


@dataclass(frozen=True)
class LicensePlaces:
    """The folders of licenses and of issuers' keys; ``managed``: the file that macOS makes of a profile."""

    profiles: Path
    issuers: Path
    managed: Path | None = None


class LicenseStore:
    """The licenses of the machine ``host``. A store is used by one thread at a time."""

    def __init__(self, places: LicensePlaces, latest: LatestTime, host: str) -> None:
        self._places = places
        self._latest = latest
        self._host = host
        self._snapshot: _Snapshot | None = None
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Remember the time even without connections, as long as the event loop runs and this object exists."""
        self._watching = asyncio.create_task(self._watch_clock())
        self._watching.add_done_callback(_log_failure)

    def now(self) -> datetime:
        """The time, or the latest that counts if the clock was set back."""
        return datetime.fromtimestamp(self._latest.seen(time.time()), UTC)

    async def _watch_clock(self) -> None:
        while True:
            with contextlib.suppress(UsageError):  # the next connection reports it
                self.installed()
            self._latest.seen(time.time())
            await self._remember()
            await asyncio.sleep(LOOK_AT_CLOCK)

    async def _remember(self) -> None:
        found = () if self._snapshot is None else self._snapshot.found
        if self._latest.is_due(
            max((each.outcome.ends for each in found if isinstance(each.outcome, License)), default=0)
        ):
            await asyncio.to_thread(self._latest.keep)

    async def admit(self) -> None:
        """Raise ``LicenseError`` unless a license is valid now; remember the time every few minutes."""
        try:
            self.check(time.time())
        except LicenseError as error:
            log.info("no license holds: %s", error.detail or error.problem)
            raise
        except UsageError as error:
            log.error("no license can be read: %s", error)  # noqa: TRY400 - it says what to do
            raise LicenseError(LicenseProblem.DAMAGED, self._host, str(error)) from error
        finally:
            await self._remember()

    def check(self, clock: float) -> License:
        """The valid license (of several the last to expire); raise ``LicenseError`` if there is none.

        ``clock``: the time, in seconds since 1970.
        """
        none = LicenseError(LicenseProblem.NONE, self._host, f"no profile in {self._places.profiles} has one")
        return self._last_to_expire([each.outcome for each in self.installed()] or [none], clock)

    def installed(self) -> tuple[Installed, ...]:
        """All installed licenses; the files are read again only if one has changed."""
        return self._current().found

    def problems(self) -> tuple[UsageError, ...]:
        """What is wrong with the files of the issuers' keys."""
        return self._current().problems

    def judge(self, data: bytes, key: Ed25519PublicKey | None, clock: float) -> License:
        """The valid license in a profile before its installation, together with its issuer's key if that is new here.

        Of several in one profile, one has to be valid, as in ``check``. Raises ``ProfileError``, or ``LicenseError`` if
        none is.
        """
        trusted = self._current().trusted | ({} if key is None else {statement.key_id(key): key})
        outcomes = [self._verified(text, trusted) for text in profile.statements_in(data)]
        if not outcomes:
            raise profile.ProfileError("this configuration profile has no license of Secure Remote Access")
        return self._last_to_expire(outcomes, clock)

    def install(self, data: bytes, key: Ed25519PublicKey | None) -> Path:
        """Store a profile that was judged, and trust its issuer's key, if one is given."""
        if key is not None:
            files.make_folder(self._places.issuers, 0o755)
            files.replace(self._places.issuers / f"{statement.key_id(key)}{KEYS}", issuers.pem(key), 0o644)
        files.make_folder(self._places.profiles, 0o755)
        path = self._places.profiles / INSTALLED_NAME
        files.replace(path, data, 0o644)
        return path

    def remove(self) -> list[Path]:
        """Delete every license in the folder of profiles, even damaged ones; return the deleted files."""
        found = dict.fromkeys(each.path for each in self.installed())
        gone = [path for path in found if path.parent == self._places.profiles]
        for path in gone:
            try:
                path.unlink()
            except OSError as error:
                raise files.FileError(path, f"{error.strerror}. On a remote, run this as root.") from error
        return gone

    def _last_to_expire(self, outcomes: Sequence[License | LicenseError], clock: float) -> License:
        """The valid license that expires last; if none is valid, raise the error of the one nearest to a valid one."""
        seen = self._latest.seen(clock)
        holding: list[License] = []
        errors: list[LicenseError] = []
        for outcome in outcomes:
            try:
                holding.append(_checked(outcome, self._host, clock, seen))
            except LicenseError as error:
                errors.append(error)
        if not holding:
            raise min(errors, key=lambda error: _RANKS[error.problem])
        return max(holding, key=lambda license_: license_.ends)

    def _current(self) -> _Snapshot:
        profiles, keys = self._paths()
        stamps = tuple((path, files.stamp(path)) for path in (*profiles, *keys))
        if self._snapshot is None or self._snapshot.stamps != stamps:
            self._snapshot = self._read(profiles, keys)
        return self._snapshot

    def _paths(self) -> tuple[list[Path], list[Path]]:
        managed = self._places.managed
        also = [managed] if managed is not None and managed.exists() else []
        return [*_list(self._places.profiles, PROFILES), *also], _list(self._places.issuers, KEYS)

    def _read(self, profiles: list[Path], keys: list[Path]) -> _Snapshot:
        contents = {path: _content(path) for path in (*profiles, *keys)}
        trusted, problems = _trusted({path: contents[path] for path in keys})
        for problem in problems:
            log.error("the key of an issuer of licenses is left out: %s", problem)
        found = tuple(each for path in profiles for each in self._parse(path, contents[path], trusted))
        # A file that could not be read, or could change without a new stamp, is read again the next time.
        stamps = [(path, each.stamp) for path, each in contents.items() if isinstance(each, files.FileContent)]
        is_settled = len(stamps) == len(contents) and all(stamp is not None for _, stamp in stamps)
        return _Snapshot(tuple(stamps) if is_settled else None, trusted, found, tuple(problems))

    def _parse(self, path: Path, content: _Content, trusted: dict[str, Ed25519PublicKey]) -> Iterator[Installed]:
        try:
            statements = profile.statements_in(_data(content))
        except UsageError as error:
            yield Installed(path, LicenseError(LicenseProblem.DAMAGED, self._host, str(error)))
            return
        yield from (Installed(path, self._verified(text, trusted)) for text in statements)

    def _verified(self, text: str, trusted: dict[str, Ed25519PublicKey]) -> License | LicenseError:
        try:
            return statement.verify(text, trusted, self._host)
        except LicenseError as error:
            return error


_Content = files.FileContent | UsageError
"""The content of a file, or why it can't be read."""


def _content(path: Path) -> _Content:
    try:
        return files.read_trusted(path, MAX_PROFILE) or files.FileError(path, "the file is gone.")
    except UsageError as error:
        return error


def _data(content: _Content) -> bytes:
    if isinstance(content, UsageError):
        raise content.with_traceback(None)
    return content.data


def _trusted(contents: dict[Path, _Content]) -> tuple[dict[str, Ed25519PublicKey], list[UsageError]]:
    """The issuers' keys by their identifiers, and what is wrong with the other files."""
    keys: dict[str, Ed25519PublicKey] = {}
    problems: list[UsageError] = []
    for path, content in contents.items():
        try:
            key = issuers.parse_public(_data(content), str(path))
            keys[statement.key_id(key)] = key
        except UsageError as error:
            problems.append(error)
    return keys, problems


def _checked(outcome: License | LicenseError, host: str, clock: float, seen: float) -> License:
    if isinstance(outcome, LicenseError):
        raise outcome.with_traceback(None)  # it is raised again and again, and would grow
    outcome.check(host, clock, seen)
    return outcome


def _log_failure(watching: asyncio.Task[None]) -> None:
    if not watching.cancelled() and (error := watching.exception()) is not None:
        log.error("from now on, a clock that is set back goes unnoticed until the next connection: %s", error)


def _list(folder: Path, ending: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ending and path.name[0] != ".")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise files.FileError(folder, f"{error.strerror}. On a remote, run this as root.") from error
