"""The remotes that an admin trusted, by their addresses: a file of lines, like OpenSSH's.

A damaged line trusts no remote until it is corrected; a remembered remote is only overwritten by one that it
handed over to (``succeed``).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sra.errors import IdentityChangedError, UsageError
from sra.identity.x509_reading import parse_fingerprint
from sra.logs import clean
from sra.system import files

DEFAULT_PORT = 4116

MAX_FILE = 1024 * 1024
"""Bytes of the file of known remotes: some 7,000 remotes."""

_HEADER = b"# Remotes that were trusted: host, port, fingerprint, date. To forget one: sra trust forget HOST\n"
_HOST = re.compile(r"(?!.*\.\.)[A-Za-z0-9_.:%-]{1,253}(?<!\.)")
"""No empty label: of several final dots each reading would take one away, and so make another host of it."""
_PORT = r"(?::(?P<port>[0-9]{1,5}))?"
_ADDRESS = re.compile(rf"(?P<ipv6>[^][:]*:[^][:]*:[^][]*)|(?:\[(?P<bracketed>[^][]+)\]|(?P<name>[^][:]+)){_PORT}")


@dataclass(frozen=True, order=True)
class Address:
    """Where a remote listens; the host in its one form (``address`` makes it)."""

    host: str
    port: int

    def __str__(self) -> str:
        """``HOST:PORT``, with brackets round an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class KnownRemote:
    """A remote that was trusted before."""

    address: Address
    fingerprint: str
    added: date


def address(host: str, port: int = DEFAULT_PORT) -> Address:
    """The address in the form that is compared: lower case, no final dot, IP addresses as Python writes them.

    Raises ``UsageError`` if that can't be a host or a port.
    """
    name = host.strip().removeprefix("[").removesuffix("]").removesuffix(".").lower()
    if _HOST.fullmatch(name) and 0 < port < 65536:
        with suppress(ValueError):
            return Address(str(ipaddress.ip_address(name)), port)
        if ":" not in name and "%" not in name:
            return Address(name, port)
    raise UsageError(f"“{clean(host)}:{port}” is not a host and a port. Write HOST, HOST:PORT or [IPV6]:PORT.")


def parse_address(text: str) -> tuple[str, int | None]:
    """Host and port (``None`` if not given) of ``HOST``, ``HOST:PORT``, ``IPV6`` or ``[IPV6]:PORT``.

    Raises ``UsageError`` for anything else.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"“{clean(text)}” is not a host. Write HOST, HOST:PORT or [IPV6]:PORT.")
    port = int(match["port"]) if match["port"] else None
    checked = address(match["bracketed"] or match["ipv6"] or match["name"], DEFAULT_PORT if port is None else port)
    return checked.host, port


@dataclass(frozen=True)
class KnownRemotes:
    """The file of the remotes that this user trusted: a line ``HOST PORT FINGERPRINT DATE`` each, 0600."""

    path: Path

    def all(self) -> list[KnownRemote]:
        """Every remote in the file; raise ``FileError``, with the line, if it is damaged."""
        return [known for known in map(self._parse, *_numbered(self._lines())) if known is not None]

    def find(self, remote: Address) -> str | None:
        """The fingerprint that is remembered of this remote."""
        return next((known.fingerprint for known in self.all() if known.address == remote), None)

    def remember(self, remote: Address, shown: str, today: date) -> None:
        """Add a remote, unless it is there; raise ``IdentityChangedError`` if it is there with another fingerprint."""
        files.make_folder(self.path.parent, 0o700)
        with files.locked(self.path):
            remembered = self.find(remote)
            if remembered is not None and remembered != shown:
                raise identity_changed(remote, remembered, shown)
            if remembered is None:
                line = f"{remote.host} {remote.port} {shown} {today.isoformat()}"
                self._write([*self._lines(), line])

    def succeed(self, remote: Address, old: str, new: str, today: date) -> None:
        """Remember the new fingerprint in place of the old; raise ``IdentityChangedError`` if it has another."""
        with files.locked(self.path):
            remembered = self.find(remote)
            if remembered not in {old, new}:
                raise identity_changed(remote, remembered or "(none)", new)
            lines = self._lines()
            line = f"{remote.host} {remote.port} {new} {today.isoformat()}"
            same = [known is not None and known.address == remote for known in map(self._parse, *_numbered(lines))]
            self._write([line if is_same else kept for kept, is_same in zip(lines, same, strict=True)])

    def forget(self, host: str, port: int | None = None) -> list[KnownRemote]:
        """Forget the remotes at this host (and port); what was forgotten."""
        name = address(host).host
        if not self.path.exists():
            return []
        with files.locked(self.path):
            lines = self._lines()
            parsed = list(map(self._parse, *_numbered(lines)))
            gone = [known is not None and _is_at(known, name, port) for known in parsed]
            if any(gone):
                self._write([line for line, is_gone in zip(lines, gone, strict=True) if not is_gone])
        return [known for known, is_gone in zip(parsed, gone, strict=True) if known is not None and is_gone]

    def _lines(self) -> list[str]:
        content = files.read_trusted(self.path, MAX_FILE)
        data = _HEADER if content is None else content.data
        try:
            return data.decode().splitlines()
        except UnicodeDecodeError as error:
            raise files.FileError(self.path, "this is not a text file (UTF-8); remove it to start anew.") from error

    def _write(self, lines: Sequence[str]) -> None:
        files.replace(self.path, "".join(f"{line}\n" for line in lines).encode(), 0o600)

    def _parse(self, number: int, line: str) -> KnownRemote | None:
        """The remote in a line; ``None`` for a comment; raise ``FileError`` for anything else."""
        if not line.strip() or line.startswith("#"):
            return None
        try:
            host, port, shown, added = line.split()
            return KnownRemote(address(host, int(port)), parse_fingerprint(shown), date.fromisoformat(added))
        except (ValueError, UsageError) as error:
            text = f"line {number} is not HOST PORT FINGERPRINT DATE. Correct it or delete that line."
            raise files.FileError(self.path, text) from error


def identity_changed(remote: Address, remembered: str, shown: str) -> IdentityChangedError:
    """The error that says, loudly, that a remote shows another identity than before."""
    return IdentityChangedError(_CHANGED.format(remote=remote, remembered=remembered, shown=shown), remembered, shown)


def _numbered(lines: Sequence[str]) -> tuple[range, Sequence[str]]:
    return range(1, len(lines) + 1), lines


def _is_at(known: KnownRemote, host: str, port: int | None) -> bool:
    return known.address.host == host and port in {None, known.address.port}


_CHANGED = """\
THE IDENTITY OF {remote} HAS CHANGED. Somebody may be in between, or the remote was set up anew.
  remembered  {remembered}
  shown now   {shown}
Nothing was sent. Compare what “sra identity show” prints on the remote; only if it is the one shown now, run:
  sra trust forget {remote}"""
