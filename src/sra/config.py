"""Where the files are, and what people have set. Only the entry points read this; everything else is given values."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import platformdirs

from sra import files
from sra.errors import UsageError

MAX_FILE = 256 * 1024
"""Bytes of a configuration: a thousand times what one holds."""

CONFIG_DIR_VARIABLE = "SRA_CONFIG_DIR"

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


@dataclass(frozen=True)
class Paths:
    """The files of a remote (hier(7)); all hang on ``root``, so a whole remote fits in a temporary folder."""

    root: Path = Path("/")

    @property
    def etc(self) -> Path:
        """What administrators set."""
        return self.root / "etc/sra"

    @property
    def config(self) -> Path:
        """The daemon's settings."""
        return self.etc / "srad.toml"

    @property
    def identity(self) -> Path:
        """The folder of the TLS key and certificate."""
        return self.etc / "identity"

    @property
    def pairings(self) -> Path:
        """Which card opens which account."""
        return self.etc / "pairings.toml"

    @property
    def attribute_mapping(self) -> Path:
        """Which certificate attributes open which account (macOS's file)."""
        return self.etc / "SmartcardLogin.plist"

    @property
    def profiles(self) -> Path:
        """The folder of configuration profiles: licenses."""
        return self.etc / "profiles"

    @property
    def trust(self) -> Path:
        """The folder of authorities and revocation lists."""
        return self.etc / "trust"

    @property
    def run(self) -> Path:
        """What is gone after a restart."""
        return self.root / "run/sra"

    @property
    def local_secret(self) -> Path:
        """What the virtual card shows to the daemon; made anew by every start."""
        return self.run / "local-secret"

    @property
    def state(self) -> Path:
        """What has to survive a restart."""
        return self.root / "var/lib/sra"

    @property
    def audit(self) -> Path:
        """Every decision, one line each."""
        return self.root / "var/log/sra/audit.jsonl"

    @property
    def readers(self) -> Path:
        """The folder of the virtual readers' sockets; it belongs to the virtual card's user (docs/reader-socket.md)."""
        return self.run / "readers"

    def reader(self, number: int) -> Path:
        """The socket of a virtual reader, from 0."""
        return self.readers / str(number)


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What strangers and admins may use up.

    ``unauthenticated``: connections without a proof at a time (some 300 KiB each). ``per_address`` new connections of
    one address in ``per_seconds``. ``sessions``: authenticated connections at a time.
    """

    unauthenticated: Count = 64
    per_address: Count = 20
    per_seconds: Count = 10
    sessions: Count = 1000


class DaemonConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``srad.toml``. ``port`` is for admins, ``local_port`` (loopback only) for the virtual card; 0 is any free one.

    ``pin_idle_seconds``: how long the virtual card stays unlocked unused, since every local program shares it.
    """

    listen: tuple[str, ...] = ("::", "0.0.0.0")  # noqa: S104 - a remote is there to be reached
    port: Port = 4116
    local_port: Port = 4117
    readers: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2
    pin_idle_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 30
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        """Refuse what no daemon could listen on."""
        for address in self.listen:
            ipaddress.ip_address(address)
        if not self.listen:
            raise ValueError("listen needs at least one address")
        if self.port == self.local_port != 0:
            raise ValueError("port and local_port have to differ")


@dataclass(frozen=True)
class AdminPaths:
    """The files of an admin, in one folder of theirs."""

    folder: Path

    @property
    def config(self) -> Path:
        """The admin's settings."""
        return self.folder / "config.toml"

    @property
    def known_remotes(self) -> Path:
        """The remotes that were trusted."""
        return self.folder / "known_remotes"

    @property
    def audit(self) -> Path:
        """Every use of the card for a remote, one line each."""
        return self.folder / "audit.jsonl"


class AdminConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``config.toml``. ``card``: the card to use when there are several; ``ca_file``: who vouches for remotes."""

    card: str = ""
    ca_file: str = ""


def admin_paths(config_dir: Path | None, environment: Mapping[str, str]) -> AdminPaths:
    """The admin's files: in ``config_dir``, else in ``$SRA_CONFIG_DIR``, else where the platform keeps them."""
    chosen = environment.get(CONFIG_DIR_VARIABLE) or platformdirs.user_config_path("sra", appauthor=False)
    return AdminPaths(config_dir or Path(chosen))


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
