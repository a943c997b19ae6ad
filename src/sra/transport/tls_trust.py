"""Whether an admin trusts the remote that it reached: by a fingerprint given, an authority, or what was seen before.

``decide`` is the whole decision and does no I/O: an unverified certificate in, a verified remote out, or an error.
``TrustPolicy`` brings it together with the file of known remotes and with ssl.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sra.errors import UntrustedRemoteError, UsageError
from sra.identity import handover
from sra.identity.x509_reading import fingerprint
from sra.logs import clean
from sra.transport.known_remotes import Address, KnownRemotes, address, identity_changed
from sra.transport.tls_identity import CURVE

log = logging.getLogger("sra.trust")

AskAboutRemote = Callable[[str, str], bool]
"""Ask the user whether this host (``HOST:PORT``) with this fingerprint is the one they mean."""


@dataclass(frozen=True)
class VerifiedRemote:
    """A remote whose certificate (by its fingerprint) is trusted; ``is_new`` if it should be remembered.

    ``replaces`` is the fingerprint that is remembered now, if that one handed over to a new certificate.
    """

    address: Address
    fingerprint: str
    is_new: bool
    replaces: str | None = None


def decide(
    remote: Address, certificate: bytes, *, pin: str | None, remembered: str | None, ask: AskAboutRemote
) -> VerifiedRemote:
    """The remote, verified by the fingerprint of the certificate (DER) that it showed.

    A fingerprint that the user gave decides alone; then the one that is remembered, or a certificate that was handed
    over to by the remembered one's key; else the user is asked.
    Raises ``IdentityChangedError`` or ``UntrustedRemoteError``.
    """
    shown = fingerprint(certificate)
    if pin is not None:
        if shown != pin:
            raise UntrustedRemoteError(_OTHER_THAN_PIN.format(remote=remote, pin=pin, shown=shown))
        return VerifiedRemote(remote, shown, is_new=False)
    if remembered is not None:
        return _as_remembered(remote, certificate, shown, remembered)
    if not ask(str(remote), shown):
        raise UntrustedRemoteError(_DECLINED.format(remote=remote, shown=shown))
    return VerifiedRemote(remote, shown, is_new=True)


def _as_remembered(remote: Address, certificate: bytes, shown: str, remembered: str) -> VerifiedRemote:
    if shown == remembered:
        return VerifiedRemote(remote, shown, is_new=False)
    if not handover.replaces(certificate, remembered):
        raise identity_changed(remote, remembered, shown)
    return VerifiedRemote(remote, shown, is_new=False, replaces=remembered)


def client_context(ca_file: Path | None, alpn: Sequence[str]) -> ssl.SSLContext:
    """TLS 1.3 only. With ``ca_file``, ssl checks chain, dates and host name; without, the caller has to check.

    Without, only the remote's possession of its key is proven by the handshake (CertificateVerify, RFC 8446, 4.4.3).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_ecdh_curve(CURVE)
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
class TrustPolicy:
    """How an admin decides: by ``pin`` (a fingerprint), ``ca_file`` or both; else by what it knows, or by ``ask``."""

    known: KnownRemotes
    ask: AskAboutRemote
    pin: str | None = None
    ca_file: Path | None = None

    def context(self, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """The context to connect with; ``check`` has to follow its handshake."""
        return client_context(self.ca_file, alpn)

    def check(self, host: str, port: int, certificate: bytes) -> None:
        """Raise unless the remote that showed this certificate (DER) in the handshake is trusted.

        Raises what ``decide`` raises, and ``FileError``. It may wait for the user: keep it off the event loop.
        """
        if self.ca_file is not None and self.pin is None:
            return
        remote = address(host, port)
        remembered = self.known.find(remote) if self.pin is None else None
        verified = decide(remote, certificate, pin=self.pin, remembered=remembered, ask=self.ask)
        if verified.is_new:
            self.known.remember(remote, verified.fingerprint, datetime.now(UTC).date())
        if verified.replaces is not None:
            self.known.succeed(remote, verified.replaces, verified.fingerprint, datetime.now(UTC).date())
            log.warning(_RENEWED, remote, verified.fingerprint)


def verification_failed(host: str, port: int, error: ssl.SSLCertVerificationError) -> UntrustedRemoteError:
    """What ssl said about a certificate that an authority should have vouched for, for the user."""
    reason = clean(error.verify_message or str(error))
    return UntrustedRemoteError(f"{address(host, port)} is not trusted by the given authority: {reason}.")


_RENEWED = "%s has renewed its identity, handed over to by the one that you trusted; remembered is now %s"

_OTHER_THAN_PIN = """\
{remote} is not the remote with the fingerprint that you gave.
  given       {pin}
  shown now   {shown}
Nothing was sent. Compare what “sra identity show” prints on the remote."""

_DECLINED = """\
{remote} is not trusted, so nothing was sent. Its fingerprint is {shown};
compare what “sra identity show” prints on the remote, then connect again."""
