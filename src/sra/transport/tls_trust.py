"""Whether an admin trusts the remote that it reached: by a fingerprint given, an authority, or what was seen before.

``decide`` is the whole decision and does no I/O: an unverified certificate in, a verified remote out, or an error.
``TrustPolicy`` brings it together with the file of known remotes and with ssl.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from sra import files
from sra.errors import IdentityChangedError, SraError, UsageError
from sra.identity.fingerprints import fingerprint, parse_fingerprint
from sra.logs import clean

DEFAULT_PORT = 4116

MAX_FILE = 1024 * 1024
"""Bytes of the file of known remotes: some 7,000 remotes."""

_HEADER = b"# Remotes that were trusted: host, port, fingerprint, date. To forget one: sra trust forget HOST\n"
_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")
_PORT = r"(?::(?P<port>[0-9]{1,5}))?"
_ADDRESS = re.compile(rf"(?P<ipv6>[^][:]*:[^][:]*:[^][]*)|(?:\[(?P<bracketed>[^][]+)\]|(?P<name>[^][:]+)){_PORT}")

Ask = Callable[[str, str], bool]
"""Ask a person whether this host (``HOST:PORT``) with this fingerprint is the one they mean."""


class UntrustedRemoteError(SraError):
    """The remote was reached, but nothing says that it is the one that was meant."""


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


@dataclass(frozen=True)
class VerifiedRemote:
    """A remote whose certificate (by its fingerprint) is trusted; ``is_new`` if it should be remembered."""

    address: Address
    fingerprint: str
    is_new: bool


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


def decide(remote: Address, certificate: bytes, *, pin: str | None, remembered: str | None, ask: Ask) -> VerifiedRemote:
    """The remote, verified by the fingerprint of the certificate (DER) that it showed.

    A fingerprint that the person gave decides alone; then the one that is remembered; else the person is asked.
    Raises ``IdentityChangedError`` or ``UntrustedRemoteError``.
    """
    shown = fingerprint(certificate)
    if pin is not None:
        if shown != pin:
            raise UntrustedRemoteError(_OTHER_THAN_PIN.format(remote=remote, pin=pin, shown=shown))
        return VerifiedRemote(remote, shown, is_new=False)
    if remembered is not None:
        if shown != remembered:
            text = _CHANGED.format(remote=remote, remembered=remembered, shown=shown)
            raise IdentityChangedError(text, remembered, shown)
        return VerifiedRemote(remote, shown, is_new=False)
    if not ask(str(remote), shown):
        raise UntrustedRemoteError(_DECLINED.format(remote=remote, shown=shown))
    return VerifiedRemote(remote, shown, is_new=True)


def client_context(ca_file: Path | None, alpn: Sequence[str]) -> ssl.SSLContext:
    """TLS 1.3 only. With ``ca_file``, ssl checks chain, dates and host name; without, the caller has to check.

    Without, only the remote's possession of its key is proven by the handshake (CertificateVerify, RFC 8446, 4.4.3).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(list(alpn))
    if ca_file is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:
        raise UsageError(f"{ca_file} can't be used: it has to hold the authority's certificates in PEM.") from error
    return context


@dataclass(frozen=True)
class KnownRemotes:
    """The file of the remotes that this person trusted: a line ``HOST PORT FINGERPRINT DATE`` each, 0600."""

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
            if remembered not in {None, shown}:
                text = _CHANGED.format(remote=remote, remembered=remembered, shown=shown)
                raise IdentityChangedError(text, str(remembered), shown)
            if remembered is None:
                line = f"{remote.host} {remote.port} {shown} {today.isoformat()}"
                self._write([*self._lines(), line])

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


@dataclass(frozen=True)
class TrustPolicy:
    """How an admin decides: by ``pin`` (a fingerprint), ``ca_file`` or both; else by what it knows, or by ``ask``."""

    known: KnownRemotes
    ask: Ask
    pin: str | None = None
    ca_file: Path | None = None

    def context(self, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """The context to connect with; ``check`` has to follow its handshake."""
        return client_context(self.ca_file, alpn)

    def check(self, host: str, port: int, certificate: bytes) -> None:
        """Raise unless the remote that showed this certificate (DER) in the handshake is trusted.

        Raises what ``decide`` raises, and ``FileError``. It may wait for a person: keep it off the event loop.
        """
        if self.ca_file is not None and self.pin is None:
            return
        remote = address(host, port)
        remembered = self.known.find(remote) if self.pin is None else None
        verified = decide(remote, certificate, pin=self.pin, remembered=remembered, ask=self.ask)
        if verified.is_new:
            self.known.remember(remote, verified.fingerprint, datetime.now(UTC).date())


def verification_failed(host: str, port: int, error: ssl.SSLCertVerificationError) -> UntrustedRemoteError:
    """What ssl said about a certificate that an authority should have vouched for, for a person."""
    reason = clean(error.verify_message or str(error))
    return UntrustedRemoteError(f"{address(host, port)} is not trusted by the given authority: {reason}.")


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

_OTHER_THAN_PIN = """\
{remote} is not the remote with the fingerprint that you gave.
  given       {pin}
  shown now   {shown}
Nothing was sent. Compare what “sra identity show” prints on the remote."""

_DECLINED = """\
{remote} is not trusted, so nothing was sent. Its fingerprint is {shown};
compare what “sra identity show” prints on the remote, then connect again."""
