"""The files of ``/etc/pam.d``: read, kept for later, and replaced as a whole."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sra.errors import UsageError
from sra.remote.logins import stacks
from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.services import KNOWN, Service, is_name, service_of
from sra.remote.logins.stacks import StackRequest, StackState
from sra.system import files

MAX_FILE = 64 * 1024
"""Bytes of a stack: the longest of a distribution have 5 KiB."""

_COPY = "# A copy of {}, for the card's turn; “sra pam disable” removes it again.\n"


@dataclass(frozen=True)
class StackFiles:
    """The stacks of one machine."""

    paths: LoginPaths

    def state(self, service: Service) -> StackState | None:
        """What the service does with a card; ``None`` if this machine has no such service."""
        text = self._read(service)
        return None if text is None else stacks.state_of(text)

    def asks_from_network(self, service: Service) -> bool:
        """Whether the service has the card asked also for logins from other machines."""
        return stacks.asks_from_network(self._read(service) or "")

    def asks_whence(self, service: Service) -> bool:
        """Whether the service finds out where a login comes from before the card is asked."""
        return stacks.asks_whence(self._read(service) or "")

    def states(self) -> dict[Service, StackState]:
        """Those of the services that are known or changed, as far as this machine has them."""
        with suppress(OSError):
            named = [service_of(path.name) for path in self._plain_files()]
            others = [each for each in named if each not in KNOWN and self.state(each) is not StackState.OFF]
            return {each: state for each in (*KNOWN, *others) if (state := self.state(each)) is not None}
        return {}

    def ours(self) -> list[Service]:
        """Every service in whose file there is a line of ours, whatever else is wrong with that file."""
        if not self.paths.stacks.is_dir():
            return []
        return [service_of(path.name) for path in self._plain_files() if stacks.has_ours(_glance(path))]

    def check(self, wish: StackRequest) -> None:
        """Raise ``UsageError`` if the card's turn can't be put into the stack."""
        self._changed(wish)

    def enable(self, wish: StackRequest) -> bool:
        """Put the card's turn into the stack; whether that changed anything. Raises ``UsageError``."""
        old, new = self._changed(wish)
        if new == old:
            return False
        if stacks.state_of(old) is StackState.OFF:
            self._keep(wish.service, old)
        files.replace(self._file(wish.service), new.encode(errors="surrogateescape"), self._mode(wish.service))
        return True

    def disable(self, service: Service) -> bool:
        """Take the card's turn out of the stack; whether there was one. Raises ``UsageError``."""
        old = self._read(service)
        if old is None or stacks.state_of(old) is StackState.OFF:
            return False
        self._put(service, stacks.disabled(old, service))
        return True

    def put_back(self, service: Service) -> Path | None:
        """As ``disable``, also where our lines were edited: then the former text comes back if they can't be taken out.

        Where the edited file is kept, if it was edited. Raises ``UsageError``.
        """
        old = self._read(service)
        if old is None or stacks.state_of(old) is not StackState.EDITED:
            self.disable(service)
            return None
        new = stacks.put_back(old)
        if new is None:
            new = self._former(service)
        edited = self.paths.keep_edited(f"pam.d/{service.name}", old.encode(errors="surrogateescape"))
        self._put(service, new)
        return edited

    def backup(self, service: Service) -> Path:
        """Where the stack is as it was."""
        return self.paths.before / "pam.d" / service.name

    def _former(self, service: Service) -> str:
        """The stack as it was before; raise ``UsageError`` if nothing says that."""
        content = files.read(self.backup(service), MAX_FILE)
        if content is None:
            raise UsageError(
                f"{self._file(service)} was edited by hand, and its backup {self.backup(service)} is gone. Take out "
                "the lines of “sra pam” yourself."
            )
        return content.data.decode(errors="surrogateescape")

    def _put(self, service: Service, text: str) -> None:
        """Have this stack, and no backup any more."""
        if text == self._copy_of_vendor(service):
            self._file(service).unlink()
        else:
            files.replace(self._file(service), text.encode(errors="surrogateescape"), self._mode(service))
        self.backup(service).unlink(missing_ok=True)

    def _plain_files(self) -> list[Path]:
        """Those that may be a service's: no links, and no copies that editors leave."""
        return [path for path in sorted(self.paths.stacks.iterdir()) if _is_plain(path) and is_name(path.name)]

    def _changed(self, wish: StackRequest) -> tuple[str, str]:
        """The stack as it is, and as it is wished."""
        old = self._read(wish.service)
        if old is None:
            raise UsageError(f"This machine has no service {wish.service.name} ({self._file(wish.service)}).")
        return old, stacks.enabled(old, wish)

    def _file(self, service: Service) -> Path:
        return self.paths.stacks / service.name

    def _read(self, service: Service) -> str | None:
        content = files.read(self._file(service), MAX_FILE)
        return self._copy_of_vendor(service) if content is None else content.data.decode(errors="surrogateescape")

    def _copy_of_vendor(self, service: Service) -> str | None:
        path = self.paths.vendor_stacks / service.name
        content = files.read(path, MAX_FILE)
        return None if content is None else _COPY.format(self.paths.named(path)) + content.data.decode()

    def _mode(self, service: Service) -> int:
        content = files.read(self._file(service), MAX_FILE)
        return 0o644 if content is None else content.mode

    def _keep(self, service: Service, text: str) -> None:
        backup = self.backup(service)
        files.make_folder(self.paths.before, 0o700)
        files.make_folder(backup.parent, 0o700)
        files.replace(backup, text.encode(errors="surrogateescape"), 0o600)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _glance(path: Path) -> str:
    """The text of a file that is only looked at: whoever may write it."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        return file.read(MAX_FILE).decode(errors="surrogateescape")
    return ""
