"""Which TLS identity an activation puts in: the one in use, one that was chosen, or a new one."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from sra.errors import UsageError
from sra.paths import Paths
from sra.system import files
from sra.transport import identity_choice, tls_identity
from sra.transport.identity_choice import AskPassword
from sra.transport.tls_identity import IdentityFiles, TlsIdentity


def in_use(paths: Paths, *, interrupted: bool) -> TlsIdentity | None:
    """The identity that is there; ``None`` if there is none, or half of one that an ``interrupted`` activation left."""
    there = [(paths.identity / name).exists() for name in (tls_identity.KEY_FILE, tls_identity.CERTIFICATE_FILE)]
    if not any(there):
        return None
    try:
        return tls_identity.load(paths.identity)
    except tls_identity.TlsIdentityError:
        if interrupted:
            return None
        raise


def chosen(paths: Paths, current: TlsIdentity | None, choice: bytes, ask: AskPassword) -> IdentityFiles | None:
    """The identity of this fingerprint; ``None`` if it is the one in use. Raises ``UsageError`` if there is none."""
    if current is not None and identity_choice.is_chosen(current.certificate, choice):
        return None
    folder = paths.identities
    found = identity_choice.find(folder, choice, ask)
    if found is None:
        raise UsageError(f"No identity in {folder} has that fingerprint. “sra identity list” shows what there is.")
    return found.files


def generated(current: TlsIdentity | None, *, wanted: bool) -> IdentityFiles | None:
    """A new identity if there is none; raise ``UsageError`` if none is wanted."""
    if current is not None:
        return None
    if not wanted:
        raise UsageError("This remote has no TLS identity yet: make one with -g, or choose one with -c FINGERPRINT.")
    hosts = dict.fromkeys((os.uname().nodename, "localhost"))
    return tls_identity.make(list(hosts), datetime.now(UTC))


def files_in_use(paths: Paths) -> IdentityFiles:
    """The two files of the identity in use."""
    names = (tls_identity.KEY_FILE, tls_identity.CERTIFICATE_FILE)
    contents = [files.read(paths.identity / name, tls_identity.MAX_FILE) for name in names]
    key, certificates = (content.data if content else b"" for content in contents)
    return IdentityFiles(key, certificates)


def former(paths: Paths, current: TlsIdentity) -> tuple[str, bytes]:
    """Where the identity that was in use is kept, so that it can be chosen again, and the file."""
    name = identity_choice.file_name(current.certificate)
    return f"/{paths.identities.relative_to(paths.root)}/{name}", identity_choice.pem_file(files_in_use(paths))


def first(certificates: bytes) -> bytes:
    """The first certificate of a PEM file."""
    end = b"-----END CERTIFICATE-----\n"
    return certificates.partition(end)[0] + end
