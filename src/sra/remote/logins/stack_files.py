"""The files of ``/etc/pam.d``: read, backed up, and replaced as a whole."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sra.errors import UsageError
from sra.remote.logins import stacks
from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.stacks import KNOWN, Service, StackRequest, StackState, is_service_name, service_of
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
        """Whether the service also asks for the card when a login comes from another machine."""
        return stacks.asks_from_network(self._read(service) or "")

    def asks_origin(self, service: Service) -> bool:
        """Whether the service checks where a login comes from before it asks for the card."""
        return stacks.asks_origin(self._read(service) or "")

    def states(self) -> dict[Service, StackState]:
        """The states of the services that are known or changed, as far as this machine has them."""
        with suppress(OSError):
            named = [service_of(path.name) for path in self._plain_files()]
            others = [each for each in named if each not in KNOWN and self.state(each) is not StackState.OFF]
            return {each: state for each in (*KNOWN, *others) if (state := self.state(each)) is not None}
        return {}

    def using_cards(self) -> dict[Service, StackState]:
        """The states of the services that ask for a card."""
        return {service: state for service, state in self.states().items() if state is not StackState.OFF}

    def ours(self) -> list[Service]:
        """Every service whose file has a line of this product, whatever else is wrong with that file."""
        if not self.paths.stacks.is_dir():
            return []
        found = []
        for path in self._plain_files():
            # The file is only looked at, so it does not matter who may write it.
            with suppress(FileNotFoundError), path.open("rb") as file:
                if stacks.has_ours(file.read(MAX_FILE).decode(errors="surrogateescape")):
                    found.append(service_of(path.name))
        return found

    def check(self, request: StackRequest) -> None:
        """Raise ``UsageError`` if the card's lines can't be put into the stack."""
        self._changed(request)

    def enable(self, request: StackRequest) -> bool:
        """Put the card's lines into the stack; whether that changed anything. Raises ``UsageError``."""
        old, new = self._changed(request)
        if new == old:
            return False
        if stacks.state_of(old) is StackState.OFF:
            backup = self.backup(request.service)
            files.make_folder(self.paths.before, 0o700)
            files.make_folder(backup.parent, 0o700)
            files.replace(backup, old.encode(errors="surrogateescape"), 0o600)
        self._replace(request.service, new)
        return True

    def disable(self, service: Service) -> bool:
        """Take the card's lines out of the stack; whether there were any. Raises ``UsageError``."""
        old = self._read(service)
        if old is None or stacks.state_of(old) is StackState.OFF:
            return False
        self._restore(service, stacks.disabled(old, service))
        return True

    def put_back(self, service: Service) -> Path | None:
        """As ``disable``, but an edited stack too: if its lines can't be taken out, the backup comes back.

        Returns where the edited stack is kept, if it was edited. Raises ``UsageError`` if there is no backup.
        """
        old = self._read(service)
        if old is None or stacks.state_of(old) is not StackState.EDITED:
            self.disable(service)
            return None
        new = stacks.put_back(old)
        if new is None:
            content = files.read(self.backup(service), MAX_FILE)
            if content is None:
                raise UsageError(
                    f"{self._file(service)} was edited by hand, and its backup {self.backup(service)} is missing. "
                    "Remove the lines of “sra pam” by hand."
                )
            new = content.data.decode(errors="surrogateescape")
        edited = self.paths.keep_edited(f"pam.d/{service.name}", old.encode(errors="surrogateescape"))
        self._restore(service, new)
        return edited

    def backup(self, service: Service) -> Path:
        """Where the former stack is kept."""
        return self.paths.before / "pam.d" / service.name

    def _restore(self, service: Service, text: str) -> None:
        """Write the former stack, or remove the file if it is a copy of the vendor's; remove the backup."""
        if text == self._copy_of_vendor(service):
            self._file(service).unlink()
        else:
            self._replace(service, text)
        self.backup(service).unlink(missing_ok=True)

    def _replace(self, service: Service, text: str) -> None:
        path = self._file(service)
        content = files.read(path, MAX_FILE)
        files.replace(path, text.encode(errors="surrogateescape"), 0o644 if content is None else content.mode)

    def _plain_files(self) -> list[Path]:
        """The files that may be a service's: no links, and no backups of editors."""
        return [
            path
            for path in sorted(self.paths.stacks.iterdir())
            if path.is_file() and not path.is_symlink() and is_service_name(path.name)
        ]

    def _changed(self, request: StackRequest) -> tuple[str, str]:
        """The stack as it is, and as it is requested."""
        old = self._read(request.service)
        if old is None:
            raise UsageError(f"This machine has no service {request.service.name} ({self._file(request.service)}).")
        return old, stacks.enabled(old, request)

    def _file(self, service: Service) -> Path:
        return self.paths.stacks / service.name

    def _read(self, service: Service) -> str | None:
        content = files.read(self._file(service), MAX_FILE)
        return self._copy_of_vendor(service) if content is None else content.data.decode(errors="surrogateescape")

    def _copy_of_vendor(self, service: Service) -> str | None:
        path = self.paths.vendor_stacks / service.name
        content = files.read(path, MAX_FILE)
        return None if content is None else _COPY.format(self.paths.named(path)) + content.data.decode()
