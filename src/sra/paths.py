"""Where the files are, on a remote and on an admin's machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

CONFIG_DIR_VARIABLE = "SRA_CONFIG_DIR"


class Below:
    """An attribute that is the path of a file or folder, by its name below the ``root`` of its owner."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, paths: Paths | AdminPaths | None, owner: object) -> Path:
        """The whole path; of the class, as if the folder were ``/``."""
        return (Path("/") if paths is None else paths.root) / self._name


@dataclass(frozen=True)
class Paths:
    """The files of a remote (hier(7)); all hang on ``root``, so a whole remote fits in a temporary folder."""

    root: Path = Path("/")

    etc = Below("etc/sra")
    """The folder of what administrators set."""
    config = Below("etc/sra/srad.toml")
    """The daemon's settings."""
    identity = Below("etc/sra/identity")
    """The folder of the TLS key and certificate."""
    identities = Below("etc/sra/identities")
    """The folder of the identities that can be chosen with ``sra activate -c``."""
    pairings = Below("etc/sra/pairings.toml")
    """Which card opens which account."""
    attribute_mapping = Below("etc/sra/SmartcardLogin.plist")
    """Which certificate attributes open which account (macOS's file)."""
    attributes = Below("etc/sra/attributes.toml")
    """Attributes of this machine's own accounts, for the mapping."""
    profiles = Below("etc/sra/profiles")
    """The folder of configuration profiles: licenses."""
    trust = Below("etc/sra/trust")
    """The folder of authorities and revocation lists."""
    run = Below("run/sra")
    """The folder whose files are gone after a restart."""
    local_secret = Below("run/sra/local-secret")
    """The secret that the virtual card shows to the daemon; made anew by every start."""
    state = Below("var/lib/sra")
    """The folder whose files survive a restart."""
    revocation = Below("var/lib/sra/revocation")
    """The folder of what authorities said about revocation; it belongs to the daemon."""
    recent_admins = Below("var/lib/sra/recent-admins.json")
    """The addresses from which admins came in within the last day; the file belongs to the daemon."""
    audit = Below("var/log/sra/audit.jsonl")
    """The audit log: every decision, one line each."""
    announce = Below("run/sra/daemon/announce")
    """The socket at which PAM says what it is about to ask the card for."""
    daemon_run = Below("run/sra/daemon")
    """The folder in which only the daemon puts anything, while it runs."""
    readers = Below("run/sra/readers")
    """The folder of the virtual readers' sockets; it belongs to the virtual card's user (docs/reader-socket.md)."""
    screen = Below("run/sra/screen/server")
    """The folder of the screen server, which belongs to the screen's account."""
    screen_helper = Below("run/sra/screen/helper")
    """The socket of the root helper for the screen."""
    recordings = Below("var/lib/sra-screen")
    """The folder of the screen's recordings, which only root reads."""

    def reader(self, number: int) -> Path:
        """The socket of a virtual reader, from 0."""
        return self.readers / str(number)


@dataclass(frozen=True)
class AdminPaths:
    """The files of an admin, in one folder of theirs."""

    root: Path

    folder = Below("")
    """The folder itself."""
    config = Below("config.toml")
    """The admin's settings."""
    known_remotes = Below("known_remotes")
    """The remotes that were trusted."""
    sessions = Below("sessions")
    """The folder of the sockets by which running connections are told what to do."""
    rules = Below("rules.toml")
    """Which key which remote may use, and when the user is asked."""
    audit = Below("audit.jsonl")
    """Every use of the card for a remote, one line each."""


def admin_paths(config_dir: Path | None, environment: Mapping[str, str]) -> AdminPaths:
    """The admin's files: in ``config_dir``, else in ``$SRA_CONFIG_DIR``, else where the platform keeps them."""
    chosen = environment.get(CONFIG_DIR_VARIABLE) or platformdirs.user_config_path("sra", appauthor=False)
    return AdminPaths(config_dir or Path(chosen))
