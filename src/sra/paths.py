"""Where the files are, on a remote and on an admin's machine; and the product's users and its port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

CONFIG_DIR_VARIABLE = "SRA_CONFIG_DIR"

DEFAULT_PORT = 4116
"""The TCP port of a remote for admins."""

DAEMON_USER, CARD_USER, SCREEN_USER = "_sra", "_sra-card", "_srascreen"
"""The users on a remote of srad, of the virtual card's processes, and of screen sharing."""


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
    def identities(self) -> Path:
        """The folder of the identities that can be chosen with ``sra activate -c``."""
        return self.etc / "identities"

    @property
    def pairings(self) -> Path:
        """Which card opens which account."""
        return self.etc / "pairings.toml"

    @property
    def attribute_mapping(self) -> Path:
        """Which certificate attributes open which account (macOS's file)."""
        return self.etc / "SmartcardLogin.plist"

    @property
    def attributes(self) -> Path:
        """Attributes of this machine's own accounts, for the mapping."""
        return self.etc / "attributes.toml"

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
    def revocation(self) -> Path:
        """The folder of what authorities said about revocation; it belongs to the daemon."""
        return self.state / "revocation"

    @property
    def recent_admins(self) -> Path:
        """From where admins came in within the last day; it belongs to the daemon."""
        return self.state / "recent-admins.json"

    @property
    def audit(self) -> Path:
        """Every decision, one line each."""
        return self.root / "var/log/sra/audit.jsonl"

    @property
    def announce(self) -> Path:
        """The socket at which PAM says what it is about to ask the card for."""
        return self.daemon_run / "announce"

    @property
    def daemon_run(self) -> Path:
        """What the daemon alone puts there while it runs."""
        return self.run / "daemon"

    @property
    def readers(self) -> Path:
        """The folder of the virtual readers' sockets; it belongs to the virtual card's user (docs/reader-socket.md)."""
        return self.run / "readers"

    @property
    def screen(self) -> Path:
        """The folder of the screen server, which belongs to the screen's account."""
        return self.run / "screen/server"

    @property
    def screen_helper(self) -> Path:
        """The socket of the root helper for the screen."""
        return self.run / "screen/helper"

    @property
    def recordings(self) -> Path:
        """The folder of what was recorded of the screen; it is root's alone."""
        return self.root / "var/lib/sra-screen"

    def reader(self, number: int) -> Path:
        """The socket of a virtual reader, from 0."""
        return self.readers / str(number)


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
    def sessions(self) -> Path:
        """The folder of the sockets by which running connections are told what to do."""
        return self.folder / "sessions"

    @property
    def rules(self) -> Path:
        """Which key which remote may use, and when the person is asked."""
        return self.folder / "rules.toml"

    @property
    def audit(self) -> Path:
        """Every use of the card for a remote, one line each."""
        return self.folder / "audit.jsonl"


def admin_paths(config_dir: Path | None, environment: Mapping[str, str]) -> AdminPaths:
    """The admin's files: in ``config_dir``, else in ``$SRA_CONFIG_DIR``, else where the platform keeps them."""
    chosen = environment.get(CONFIG_DIR_VARIABLE) or platformdirs.user_config_path("sra", appauthor=False)
    return AdminPaths(config_dir or Path(chosen))
