"""The TLS identity of a remote: a key and a certificate signed by it, in a folder that only the service reads.

An admin trusts it by its fingerprint, so it needs no authority; a fleet that has one puts its own two files there.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from sra.errors import UsageError
from sra.identity import handover
from sra.identity.x509_reading import MALFORMED, fingerprint, public_bytes
from sra.logs import clean
from sra.system import files

CERTIFICATE_FILE = "certificate.pem"
KEY_FILE = "key.pem"

LIFETIME = timedelta(days=364)
"""With ``CLOCK_SKEW`` 365 days: graders of TLS flag 366 and more (browsers 398)."""

CURVE = "prime256v1"
"""P-256, the only group for the key exchange: ``ssl`` takes one or what OpenSSL has, which is X448 and P-521 too.

Both ends are ours and begin with it, so that no handshake needs a second try (docs/decisions/0026).
"""

CLOCK_SKEW = timedelta(days=1)
"""How early a new certificate is valid, for an admin whose clock is behind."""

MAX_FILE = 64 * 1024
"""Bytes of either file: a key is below 4 KiB, a certificate with its chain below 16."""

MAX_COMMON_NAME = 64
"""Characters (X.520, ub-common-name); the names that count are in the SAN."""

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_AGAIN = "To make a new one, run: sra identity generate --force"


class TlsIdentityError(UsageError):
    """The remote's TLS identity is missing, broken, or would be overwritten; ``command`` mends it, if one does."""

    def __init__(self, text: str, command: str = "") -> None:
        super().__init__(f"{text} Run: {command}" if command else text)
        self.command = command


@dataclass(frozen=True)
class TlsIdentity:
    """A remote's TLS identity: where its files are, and what its certificate (DER) says. The key stays in its file."""

    folder: Path
    certificate: bytes = field(repr=False)
    names: tuple[str, ...]
    not_after: datetime

    @property
    def fingerprint(self) -> str:
        """What an admin compares: ``SHA256:AB:CD:…``."""
        return fingerprint(self.certificate)


@dataclass(frozen=True)
class IdentityFiles:
    """What is in the two files: the key, and its certificate, which others may follow; in PEM."""

    key: bytes = field(repr=False)
    certificates: bytes = field(repr=False)


MakeHandOver = Callable[[ec.EllipticCurvePublicKey], x509.ExtensionType]
"""Make the extension by which an older key hands over to this one."""


def generate(folder: Path, hosts: Sequence[str], now: datetime, *, replace: bool = False) -> TlsIdentity:
    """Make a P-256 key and a certificate for these host names and IP addresses, and store both.

    Raises ``TlsIdentityError`` if there is an identity (unless ``replace``) or a host is no name or address.
    """
    made = make(hosts, now)
    files.make_folder(folder, 0o755)
    with files.locked(folder / KEY_FILE):
        if not replace and any((folder / name).exists() for name in (KEY_FILE, CERTIFICATE_FILE)):
            raise TlsIdentityError(f"{folder} has an identity that admins may remember. {_AGAIN}")
        store(folder, made)
    return load(folder)


def renew(folder: Path, now: datetime, hosts: Sequence[str] | None = None) -> TlsIdentity:
    """A new key and certificate (for the same names, if none are given), handed over to by the old key.

    Raises ``TlsIdentityError`` if there is none that can be renewed, ``UsageError`` if it was renewed too often.
    """
    load(folder)
    with files.locked(folder / KEY_FILE):
        old = load(folder)
        key = load_pem_private_key(_content(folder / KEY_FILE).data, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise TlsIdentityError(f"The key in {folder} can't sign a hand-over: it is neither EC nor RSA. {_AGAIN}")
        store(folder, make(hosts or old.names, now, lambda new: handover.extension(old.certificate, key, new)))
    return load(folder)


def make(hosts: Sequence[str], now: datetime, hand_over: MakeHandOver | None = None) -> IdentityFiles:
    """A P-256 key and a certificate for these host names and IP addresses, stored nowhere yet."""
    names = [_general_name(host) for host in hosts]
    if not names:
        raise TlsIdentityError("A TLS identity needs at least one host name. Name one with --host NAME.")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(key, names, hosts[0], now)
    if hand_over is not None:
        builder = builder.add_extension(hand_over(key.public_key()), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return IdentityFiles(private, certificate.public_bytes(Encoding.PEM))


def store(folder: Path, identity: IdentityFiles) -> None:
    """Put an identity in the place of the one that is in the folder; who could read that one's key reads this one's."""
    before = files.read(folder / KEY_FILE, MAX_FILE)
    group = (folder / KEY_FILE).stat().st_gid if before is not None else -1
    files.replace(folder / KEY_FILE, identity.key, 0o600)
    if before is not None and before.mode & stat.S_IRGRP:
        os.chown(folder / KEY_FILE, -1, group)
        (folder / KEY_FILE).chmod(0o640)
    files.replace(folder / CERTIFICATE_FILE, identity.certificates, 0o644)


def load(folder: Path) -> TlsIdentity:
    """The identity in this folder; raise ``TlsIdentityError`` or ``FileError`` if it can't serve."""
    key_file = _content(folder / KEY_FILE)
    if key_file.mode & stat.S_IRWXO:
        raise TlsIdentityError(
            f"Everybody can read {folder / KEY_FILE}. If somebody did, make a new one: sra identity generate --force.",
            f"chmod o= {folder / KEY_FILE}",
        )
    try:
        # The first certificate in the file is the one that is shown; a chain may follow it.
        certificate = x509.load_pem_x509_certificate(_content(folder / CERTIFICATE_FILE).data)
    except MALFORMED as error:
        raise TlsIdentityError(f"{folder / CERTIFICATE_FILE} is not a certificate in PEM. {_AGAIN}") from error
    try:
        certified = public_bytes(certificate)
    except MALFORMED as error:
        raise TlsIdentityError(f"{folder / CERTIFICATE_FILE} has a key that can't be used. {_AGAIN}") from error
    try:
        private = load_pem_private_key(key_file.data, password=None)
    except MALFORMED as error:
        text = f"{folder / KEY_FILE} is not a private key in PEM without a password. {_AGAIN}"
        raise TlsIdentityError(text) from error
    if private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != certified:
        raise TlsIdentityError(f"The key and the certificate in {folder} don't belong together. {_AGAIN}")
    return TlsIdentity(
        folder, certificate.public_bytes(Encoding.DER), names_of(certificate), certificate.not_valid_after_utc
    )


def server_context(identity: TlsIdentity, alpn: Sequence[str]) -> ssl.SSLContext:
    """TLS 1.3 only, with this identity, for these protocols.

    A peer that offers none of them gets a connection without a protocol, as ssl has it:
    the caller has to look at ``selected_alpn_protocol()``, and close it. Sessions are not resumed: no tickets are sent.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.set_ecdh_curve(CURVE)
    context.set_alpn_protocols(list(alpn))
    try:
        context.load_cert_chain(identity.folder / CERTIFICATE_FILE, identity.folder / KEY_FILE, password="")
    except (OSError, ValueError) as error:
        raise TlsIdentityError(f"The identity in {identity.folder} can't be used: {error}. {_AGAIN}") from error
    return context


def _general_name(host: str) -> x509.GeneralName:
    """The host as a subject alternative name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not _HOST_NAME.fullmatch(host):
        raise TlsIdentityError(f"“{clean(host)}” is neither a host name nor an IP address (names are in ASCII).")
    return x509.DNSName(host)


def _builder(
    key: ec.EllipticCurvePrivateKey, names: Sequence[x509.GeneralName], title: str, now: datetime
) -> x509.CertificateBuilder:
    """A certificate, signed by itself, that can only be a server's, and no authority (RFC 5280, 4.2.1)."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, title[:MAX_COMMON_NAME])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_signatures_only(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )


def _signatures_only() -> x509.KeyUsage:
    """All that TLS 1.3 needs of a server's key."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _content(path: Path) -> files.FileContent:
    content = files.read(path, MAX_FILE)
    if content is None:
        is_half = any((path.parent / name).exists() for name in (KEY_FILE, CERTIFICATE_FILE))
        raise TlsIdentityError(
            f"{path} is missing. " + (_AGAIN if is_half else "To make an identity, run: sra identity generate")
        )
    return content


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The host names and addresses that the certificate is for."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, *MALFORMED):
        return ()
    return tuple(str(name.value) for name in extension.value)
