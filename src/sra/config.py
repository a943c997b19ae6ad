"""The settings. Only the entry points read this; everything else is given values."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from sra.errors import UsageError
from sra.system import files

MAX_FILE = 256 * 1024
"""Bytes of a configuration: a thousand times what one holds."""

_DIRECTORY_PORTS = {"ldap": 389, "ldaps": 636}
"""RFC 4516; by ``ldap``, TLS begins with StartTLS."""

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Minutes = Annotated[int, msgspec.Meta(ge=0, le=7 * 24 * 60)]
Oid = Annotated[str, msgspec.Meta(pattern=r"^[0-2](\.(0|[1-9][0-9]*)){1,30}$", max_length=100)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class ConnectionLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What strangers and admins may use up.

    ``unauthenticated``: connections without a proof at a time (some 300 KiB each). ``per_address`` new connections of
    one address in ``per_seconds``, ``per_second`` of all together. ``sessions``: authenticated connections at a time.
    """

    unauthenticated: Count = 64
    per_address: Count = 20
    per_seconds: Count = 10
    per_second: Count = 100
    sessions: Count = 1000


class DirectoryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[accounts.ldap]``: the directory that knows the accounts (docs/pairing.md).

    ``servers``: ``ldaps://HOST`` or ``ldap://HOST`` (then StartTLS), tried in order. Without ``ca_file`` the system's
    authorities are trusted. ``by_certificate``: look for the card's very certificate too.
    """

    servers: tuple[str, ...]
    base: str
    ca_file: str = ""
    bind_dn: str = ""
    password_file: str = ""
    account_attribute: str = "uid"
    by_certificate: bool = False
    connect_seconds: Annotated[int, msgspec.Meta(ge=1, le=60)] = 3
    search_seconds: Annotated[int, msgspec.Meta(ge=1, le=60)] = 5
    cache_seconds: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 60
    unknown_seconds: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 5

    def __post_init__(self) -> None:
        """Refuse what is no directory that could be asked safely."""
        if not self.servers:
            raise ValueError("servers needs at least one")
        for server in self.servers:
            directory_address(server)
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", self.account_attribute):
            raise ValueError(f"account_attribute: “{self.account_attribute}” can't be the name of an attribute")
        if bool(self.bind_dn) != bool(self.password_file):
            raise ValueError("bind_dn and password_file go together")


class AccountsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[accounts]``: who may come in, by the names of accounts and of ``@groups``; ``deny`` wins.

    ``sssd``: let SSSD's own rules find accounts for certificates.
    """

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    sssd: bool = False
    ldap: DirectoryConfig | None = None

    def __post_init__(self) -> None:
        """Refuse names that could never be one."""
        if self.allow == ():
            raise ValueError("allow is empty, which would let no account in; remove it to let every paired card in")
        for name in (*(self.allow or ()), *self.deny):
            if not name.removeprefix("@") or not name.isprintable() or name != name.strip():
                raise ValueError(f"“{name}” is neither an account nor a @group")


class PolicyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[policy]``: what a card's certificate needs beside its pairing (docs/certificate-policy.md).

    ``policies``: OIDs of which one is needed; ``extended_key_usages``: OIDs that are all needed. ``lists``: the folder
    of ``*.crl`` files, if it is not the one of the authorities. ``allow_decrypting_keys``: let certificates in that say
    that their key decrypts as well.
    """

    certificates: Literal["paired-key", "ca", "ca+revocation"] = "paired-key"
    policies: tuple[Oid, ...] = ()
    extended_key_usages: tuple[Oid, ...] = ()
    lists: str = ""
    ask_distribution_points: bool = True
    ask_ocsp: bool = True
    ocsp_nonce: bool = True
    max_age_hours: Annotated[int, msgspec.Meta(ge=1, le=8760)] = 168
    timeout_seconds: Annotated[int, msgspec.Meta(ge=1, le=15)] = 5
    allow_decrypting_keys: bool = False

    def __post_init__(self) -> None:
        """Refuse what would be set and never looked at."""
        if self.certificates == "paired-key" and self.policies:
            raise ValueError('policies need certificates = "ca" or "ca+revocation"')
        if self.lists and not self.lists.startswith("/"):
            raise ValueError("lists has to be a whole path")


class SessionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[session]``: what the owner demands of every connection; an admin's own settings may be stricter.

    ``idle_minutes`` (15 is usual) and ``total_minutes`` (720) end it, 0 never. ``pin_cache_minutes``: how long an
    admin's machine may keep the PIN at most; without it as long as the admin likes. ``pin_every_use``: the virtual
    card forgets the PIN after each use of a key.
    """

    idle_minutes: Minutes = 0
    total_minutes: Minutes = 0
    pin_cache_minutes: Minutes | None = None
    pin_every_use: bool = False


class ScreenConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[screen]``: what admins may see and do of the screen (docs/screen.md).

    ``consent``: ask the user who is logged in there, who has ``consent_seconds`` to allow it. ``notice``: say on the
    screen with whom it is shared. ``password_seconds``: how long an unused password lives. ``console``: what the
    machine's own monitor shows meanwhile; ``blanked`` also switches its keyboard and mouse off. ``record``: each share
    into a file; all of them may take ``recordings_mib`` (1,048,576 bytes each). ``virtual_size``: the pixels of a
    screen without a monitor.
    """

    enabled: bool = True
    view_only: bool = False
    consent: bool = False
    consent_seconds: Annotated[int, msgspec.Meta(ge=5, le=120)] = 30
    notice: bool = True
    password_seconds: Annotated[int, msgspec.Meta(ge=1, le=60)] = 60
    console: Literal["shown", "blanked"] = "shown"
    record: bool = False
    recordings_mib: Annotated[int, msgspec.Meta(ge=1, le=1024 * 1024 * 1024)] = 10 * 1024
    virtual_size: Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{2,3}x[1-9][0-9]{2,3}\Z")] = "1920x1080"

    def __post_init__(self) -> None:
        """Refuse a screen on which nothing fits, and one that takes more than 130 MB."""
        width, height = map(int, self.virtual_size.split("x"))
        if not (640 <= width <= 7680 and 480 <= height <= 4320):
            raise ValueError("virtual_size has to be between 640x480 and 7680x4320")


class LoginConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[login]``: ``on_removal`` is what a session does when its user's card leaves the reader (docs/logins.md)."""

    on_removal: Literal["lock", "log-out", "nothing"] = "lock"


class DaemonConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``srad.toml``. ``port`` is for admins, ``local_port`` (loopback only) for the virtual card; 0 is any free one.

    ``pin_idle_seconds``: how long the virtual card stays unlocked unused, since every local program shares it.
    """

    listen: tuple[str, ...] = ("::", "0.0.0.0")  # noqa: S104 - a remote is there to be reached
    port: Port = 4116
    local_port: Port = 4117
    readers: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2
    pin_idle_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 30
    limits: ConnectionLimits = ConnectionLimits()
    session: SessionConfig = SessionConfig()
    accounts: AccountsConfig = AccountsConfig()
    policy: PolicyConfig = PolicyConfig()
    login: LoginConfig = LoginConfig()
    screen: ScreenConfig = ScreenConfig()

    def __post_init__(self) -> None:
        """Refuse what no daemon could listen on."""
        for address in self.listen:
            ipaddress.ip_address(address)
        if not self.listen:
            raise ValueError("listen needs at least one address")
        if self.port == self.local_port != 0:
            raise ValueError("port and local_port have to differ")


def directory_address(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether it is TLS from the first byte (``ldaps``); raise ``ValueError`` if it is no server."""
    parts = urlsplit(url)
    port = _DIRECTORY_PORTS.get(parts.scheme)
    if port is None or not parts.hostname or url != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        raise ValueError(f"“{url}” is no server: write ldaps://HOST or ldap://HOST, and :PORT if it has its own")
    return parts.hostname, parts.port or port, parts.scheme == "ldaps"


class AdminConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``config.toml``. ``card``: the card to use when there are several; ``ca_file``: who vouches for remotes.

    ``pkcs11_modules``: the files of the PKCS#11 modules whose cards are used too. ``pin_cache_minutes``: how long the
    PIN given at connect may answer the PIN pad, after a yes. ``idle_minutes`` and ``total_minutes`` end a connection,
    0 never. ``resume_seconds``: a link may be away so long without the PIN being asked again. ``viewer``: the command
    that shows a remote's screen (docs/screen.md). ``clipboard``: share what is copied with it, both ways.
    ``unattended``: what a remote's questions are answered with where there is no terminal.
    """

    card: str = ""
    ca_file: str = ""
    pkcs11_modules: tuple[str, ...] = ()
    pin_cache_minutes: Minutes = 0
    idle_minutes: Minutes = 0
    total_minutes: Minutes = 0
    resume_seconds: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 120
    viewer: tuple[str, ...] = ()
    clipboard: bool = False
    unattended: Literal["deny", "allow"] = "deny"


def load_daemon_config(path: Path) -> DaemonConfig:
    """What ``srad.toml`` says, or the defaults without one; raise ``UsageError`` naming what is wrong."""
    return _load(path, DaemonConfig)


def load_admin_config(path: Path) -> AdminConfig:
    """What ``config.toml`` says, or the defaults without one; raise ``UsageError`` naming what is wrong."""
    return _load(path, AdminConfig)


_Config = TypeVar("_Config", DaemonConfig, AdminConfig)


def _load(path: Path, kind: type[_Config]) -> _Config:
    content = files.read_trusted(path, MAX_FILE)
    if content is None:
        return kind()
    try:
        return msgspec.toml.decode(content.data, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {error}. Correct it and start again.") from error
