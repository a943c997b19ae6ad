"""A machine in a folder: its files are real, its programs are played, and what was run is kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sra.remote.activation.changed_machine import LoginScreen, Machine
from sra.remote.activation.undo import LOGIN_WINDOW
from sra.remote.activation.virtual_screen_linux import SETTINGS

ME, MINE = os.getuid(), os.getgid()
"""Every user here has this number, so that the files that are made belong to whom they should."""
PASSWD = f"root:x:{ME}:{MINE}:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\n"
GROUP = f"root:x:{MINE}:\nalice:x:1000:\n"
FOLDERS = (
    "etc/systemd/system", "etc/ssl/certs", "usr/sbin", "usr/local/share/ca-certificates",
    "var/lib", "var/log", "etc/polkit-1/rules.d", "etc/lightdm",
)  # fmt: skip


class PlayedPrograms:
    """useradd, systemctl and the others, as far as an activation can see them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.ran: list[tuple[str, ...]] = []
        self.enabled: set[str] = set()
        self.active = {LOGIN_WINDOW}
        self.installed = {"pcscd.socket"}
        self.failing: set[str] = set()
        """Programs that end with 1."""
        self.has_virtual_screen = False

    def __call__(self, argv: Sequence[str]) -> tuple[int, str]:
        if argv[:2] == ["systemctl", "--quiet"]:
            known = {"is-enabled": self.enabled, "is-active": self.active, "cat": self.installed}
            return (0 if argv[3] in known[argv[2]] else 3), ""
        if argv[0] in self.failing:
            return 1, f"{argv[0]}: it\ndoes not work"
        self.ran.append(tuple(argv))
        play = getattr(self, f"_{argv[0].replace('-', '_')}")
        play(list(argv[1:]))
        return 0, ""

    def _useradd(self, argv: list[str]) -> None:
        self._add("passwd", f"{argv[-1]}:x:{ME}:{MINE}::/nonexistent:/usr/sbin/nologin")
        self._add("group", f"{argv[-1]}:x:{MINE}:")

    def _groupadd(self, argv: list[str]) -> None:
        self._add("group", f"{argv[-1]}:x:{MINE}:")

    def _userdel(self, argv: list[str]) -> None:
        self._remove("passwd", argv[0])
        self._remove("group", argv[0])

    def _groupdel(self, argv: list[str]) -> None:
        self._remove("group", argv[0])

    def _update_ca_certificates(self, argv: list[str]) -> None:
        found = sorted((self._root / "usr/local/share/ca-certificates").glob("*.crt"))
        (self._root / "etc/ssl/certs/ca-certificates.crt").write_bytes(b"".join(path.read_bytes() for path in found))

    def _systemctl(self, argv: list[str]) -> None:
        match argv:
            case ["enable", unit]:
                self.enabled.add(unit)
            case ["restart", unit] | ["--no-block", "start", unit] if unit != "pcscd.socket":
                self.active.add(unit)
                self._read_settings(unit)
            case ["disable", unit]:
                self.enabled.discard(unit)
            case ["stop", unit, *_]:
                self.active.discard(unit)

    def _read_settings(self, unit: str) -> None:
        if unit == LOGIN_WINDOW:
            self.has_virtual_screen = (self._root / SETTINGS.removeprefix("/")).exists()

    def _add(self, table: str, line: str) -> None:
        path = self._root / "etc" / table
        path.write_text(f"{path.read_text()}{line}\n")

    def _remove(self, table: str, name: str) -> None:
        path = self._root / "etc" / table
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith(f"{name}:")))


class World:
    """The machine, its programs, and who owns what: nobody here may give files away, so that is only written down."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True)
        (root / "etc/passwd").write_text(PASSWD)
        (root / "etc/group").write_text(GROUP)
        (root / "etc/ssl/certs/ca-certificates.crt").write_text("")
        (root / "usr/sbin/update-ca-certificates").write_text("")
        self.programs = PlayedPrograms(root)
        self.given: dict[str, tuple[int, int]] = {}
        self.machine = Machine(root, self.programs, self._screen, self._give)
        self.is_somebody_logged_in = False

    def _screen(self) -> LoginScreen:
        """LightDM shows one if it was started with a virtual one in its settings."""
        if LOGIN_WINDOW not in self.programs.active or not self.programs.has_virtual_screen:
            return LoginScreen.NONE
        return LoginScreen.IN_USE if self.is_somebody_logged_in else LoginScreen.LOGIN_WINDOW

    def _give(self, path: Path, user: int, group: int) -> None:
        self.given[f"/{path.relative_to(self.root)}"] = (user, group)

    def tree(self) -> dict[str, tuple[int, bytes]]:
        """Every file and folder, its mode and content."""
        paths = sorted(self.root.rglob("*"))
        return {
            f"/{path.relative_to(self.root)}": (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in paths
        }

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Write a file, with the folders above it."""
        path = self.root / name.removeprefix("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
