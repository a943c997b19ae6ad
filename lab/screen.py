"""A shared screen on two hosts: the remote's account for it, and a screen of the admin's own to see it on."""

from __future__ import annotations

from pathlib import Path

from lab import product
from lab.hosts import Host
from lab.processes import Process, wait_until
from lab.product import PYTHON, SRA, Service
from sra.remote.screen_sharing import templates

ACCOUNT = "_srascreen"
HELPER = "/run/sra/screen/helper"
WINDOW = "Secure Remote Access - TigerVNC"


def add_screen_account(remote: Host) -> None:
    """The account, and the PIN-less way in that works once; before ``sra remote run``, which starts what uses it."""
    words = ["--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    remote.run(["useradd", *words, ACCOUNT])
    remote.write("/etc/pam.d/sra-vnc", templates.pam_service(PYTHON, Path(HELPER)).decode())


class OwnScreen:
    """The screen that a person at the admin's machine sits at."""

    def __init__(self, admin: Host, number: int = 9) -> None:
        self._admin = admin
        self._number = number
        self.environment = {"DISPLAY": f":{number}"}

    def start(self) -> None:
        """With a window manager, since a viewer without one never gets the keyboard."""
        self._admin.start(["Xvfb", f":{self._number}", "-nolisten", "tcp", "-noreset", "-screen", "0", "1100x850x24"])
        socket = f"/tmp/.X11-unix/X{self._number}"  # noqa: S108
        wait_until(lambda: self._admin.run(["test", "-S", socket], check=False).returncode == 0, "a screen", 10)
        self._admin.start(["openbox"], env=self.environment)

    def sra_screen(
        self, service: Service, card: str, *options: str, pin: str = product.PIN, log: Path | None = None
    ) -> Process:
        """Start ``sra screen`` for the remote; returns at once."""
        self._admin.write(product.PIN_FILE, f"{pin}\n", mode=0o600)
        command: list[str | Path] = [
            SRA, "screen", "remote", "--card", card, "--cards-dir", product.CARDS, "--slots", "9A",
            "--pin-fd", "3", "--fingerprint", service.fingerprint, "--yes", *options,
        ]  # fmt: skip
        run = ["sh", "-c", f'exec "$@" 3<{product.PIN_FILE}', "sh", *command]
        return self._admin.start(run, env=self.environment, log=log)

    def wait_for_viewer(self) -> None:
        """Return when its window is there."""
        self._admin.run(["xdotool", "search", "--sync", "--name", WINDOW], env=self.environment)

    def press(self, *keys: str) -> None:
        """Press keys in the viewer."""
        activate = ["xdotool", "search", "--sync", "--name", WINDOW, "windowactivate", "--sync"]
        self._admin.run(activate, env=self.environment)
        self._admin.run(["xdotool", "key", "--delay", "60", *keys], env=self.environment)

    def viewer_size(self) -> str:
        """Width and height of what it shows, such as ``800x600``; empty without a viewer."""
        find = ["xdotool", "search", "--name", WINDOW, "getwindowgeometry"]
        shown = self._admin.run(find, env=self.environment, check=False).stdout
        return shown.rpartition("Geometry: ")[2].strip()

    def close_viewer(self) -> None:
        """Close its window."""
        self._admin.run(["xdotool", "search", "--name", WINDOW, "windowclose"], env=self.environment)

    def picture(self, path: Path) -> None:
        """Save what is on the screen; the path is the machine's, in a folder that the host shares."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._admin.run(["import", "-window", "root", path], env=self.environment)

    def colour(self, x: int, y: int) -> tuple[int, ...]:
        """Red, green and blue of one place, 0 to 255."""
        crop = ["import", "-window", "root", "-crop", f"1x1+{x}+{y}", "-depth", "8", "txt:-"]
        shown = self._admin.run(crop, env=self.environment).stdout.splitlines()[-1]
        return tuple(int(part) for part in shown.partition("(")[2].partition(")")[0].split(",")[:3])

    def wait_for_colour(self, wanted: tuple[int, int, int], x: int = 200, y: int = 600, within: float = 10) -> None:
        """Return when a place, inside of the viewer, has about that colour."""

        def seen() -> bool:
            return all(abs(one - other) < 12 for one, other in zip(self.colour(x, y), wanted, strict=True))

        wait_until(seen, f"the colour {wanted}", within)
