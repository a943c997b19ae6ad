"""A desktop on a host: LightDM, its greeter and a session of Openbox, on a screen without a monitor.

    desktop = Desktop(remote)
    desktop.start()
    desktop.wait_for_greeter()
    desktop.press("Return", "Return")
    desktop.wait_for_session("ann")
    desktop.picture(Path("session.png"))
    desktop.log_out("ann")
    desktop.stop()

The X server is Xvfb, started by LightDM as it would start Xorg; so its display, its cookie and its end are as there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lab.hosts import Host
from lab.processes import LabError, Process, wait_until

DISPLAY = ":0"
COOKIE = "/run/lightdm/root/:0"
"""The X server's own, with which root may do everything there."""
LOG = "/var/log/lightdm/lightdm.log"
GREETER_STATE = "/var/lib/lightdm/.cache/lightdm-gtk-greeter/state"
"""Who logged in last: without it the greeter begins with the first account."""
X_SERVER = "/usr/local/bin/lab-x-server"
SESSION = "lab"

_X_SERVER = """\
#!/bin/sh
# LightDM starts it with the options of Xorg; Xvfb has no virtual terminals and no seats.
for word; do
    shift
    case $word in
        vt[0-9]* | -novtswitch | -nolisten | tcp | -seat | seat[0-9]* | -background | none) ;;
        *) set -- "$@" "$word" ;;
    esac
done
exec Xvfb "$@" -nolisten tcp -screen 0 {screen}x24
"""
_LIGHTDM = f"""\
[LightDM]
lock-memory=false
logind-check-graphical=false

[Seat:*]
xserver-command={X_SERVER}
greeter-session=lightdm-gtk-greeter
greeter-hide-users={{hide_users}}
user-session={SESSION}
"""
_GREETER = """\
[greeter]
background=#20425f
theme-name=Adwaita
"""
_SESSION = """\
[Desktop Entry]
Type=Application
Name=Lab
Exec=openbox-session
"""
_AUTOSTART = """\
xsetroot -solid '#3b5f41'
"""
_PRIVATE_DEVICES = """\
mkdir -p /mnt
mount -t tmpfs -o mode=0755 lab-devices /mnt
for node in null zero full random urandom tty; do cp -a "/dev/$node" /mnt/; done
mkdir /mnt/pts /mnt/shm
mount -t devpts -o newinstance,mode=0620,gid=5,ptmxmode=0666 devpts /mnt/pts
mount --rbind /dev/shm /mnt/shm
ln -s pts/ptmx /mnt/ptmx
ln -s /proc/self/fd /mnt/fd
for number in 0 1 2; do ln -s "fd/$number" "/mnt/$(echo stdin stdout stderr | cut -d' ' -f$((number + 1)))"; done
mount --move /mnt /dev
"""
"""Without tty0: LightDM then leaves the machine's virtual terminals alone. And terminals for others than root."""


def make_devices_private(host: Host) -> None:
    """Give the host a ``/dev`` of its own, unless it has one."""
    if host.run(["grep", "-q", "^lab-devices /dev ", "/proc/mounts"], check=False).returncode:
        host.run(["sh", "-ec", _PRIVATE_DEVICES])


class Desktop:
    """The screen of a host, and who sits at it. ``autostart``: command lines that every session runs."""

    def __init__(
        self, host: Host, *, autostart: Sequence[str] = (), hide_users: bool = True, screen: str = "1024x768"
    ) -> None:
        self._host = host
        self._autostart = autostart
        self._hide_users = hide_users
        self._screen = screen
        self._lightdm: Process | None = None
        self._seen = 0
        self.environment = {"DISPLAY": DISPLAY, "XAUTHORITY": COOKIE}
        """For programs of root that use the screen."""

    # Its life

    def start(self) -> None:
        """Start the system bus, unless it runs, and LightDM; returns when its log begins."""
        host = self._host
        make_devices_private(host)
        self._write_files()
        if host.run(["test", "-S", "/run/dbus/system_bus_socket"], check=False).returncode:
            host.run(["install", "-d", "/run/dbus", "/run/user"])
            host.run(["dbus-daemon", "--system", "--fork"])
        host.run(["rm", "-f", LOG, GREETER_STATE])
        self._lightdm = host.start(["lightdm"])
        self._seen = 0
        wait_until(lambda: self.log, "LightDM's log", 10)

    def stop(self) -> None:
        """End LightDM, and with it the X server and every session."""
        if self._lightdm is not None:
            self._lightdm.terminate()
            self._lightdm.wait()

    def restart(self) -> None:
        """End everything on the screen, and begin anew."""
        self.stop()
        self.start()

    def _write_files(self) -> None:
        host = self._host
        host.write(X_SERVER, _X_SERVER.format(screen=self._screen), mode=0o755)
        host.write("/etc/lightdm/lightdm.conf", _LIGHTDM.format(hide_users=str(self._hide_users).lower()))
        host.write("/etc/lightdm/lightdm-gtk-greeter.conf", _GREETER)
        host.write(f"/usr/share/xsessions/{SESSION}.desktop", _SESSION)
        host.write("/etc/xdg/openbox/autostart", _AUTOSTART + "".join(f"{line} &\n" for line in self._autostart))

    # What is seen

    @property
    def log(self) -> str:
        """LightDM's log since it was started."""
        return self._host.run(["cat", LOG], check=False).stdout

    def picture(self, path: Path) -> None:
        """Save what the screen shows; the path is the machine's, in a folder that the host shares."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._host.run(["import", "-window", "root", path], env=self.environment)

    def windows(self, name: str) -> list[str]:
        """The windows that can be seen whose title or class matches (a regular expression)."""
        find = ["xdotool", "search", "--onlyvisible", "--name", name]
        return self._host.run(find, env=self.environment, check=False).stdout.split()

    # What a user does

    def type(self, text: str) -> None:
        """Type a text, where the keyboard's focus is."""
        self._host.run(["xdotool", "type", "--delay", "10", text], env=self.environment)

    def press(self, *keys: str) -> None:
        """Press keys by their names (``Return``, ``ctrl+alt+l``)."""
        self._host.run(["xdotool", "key", "--delay", "20", *keys], env=self.environment)

    def click(self, x: int, y: int) -> None:
        """Click at a place of the screen, in pixels from the top left."""
        self._host.run(["xdotool", "mousemove", str(x), str(y), "click", "1"], env=self.environment)

    def make_small(self) -> None:
        """Change the screen's resolution to 800 by 600 pixels, as another monitor would, until its X server ends."""
        timing = ["38.25", "800", "832", "912", "1024", "600", "603", "607", "624"]
        for words in (
            ["--newmode", "small", *timing],
            ["--addmode", "screen", "small"],
            ["--output", "screen", "--mode", "small"],
        ):
            self._host.run(["xrandr", *words], env=self.environment)

    # Waiting. Each looks only at what came since the last one ended.

    def wait_for_greeter(self, timeout: float = 30) -> None:
        """Return when the greeter has come, at first or after a logout, and can be typed at."""
        self.wait_for("Greeter connected", timeout)
        self.wait_for_message(timeout)
        wait_until(self._is_focused, "the greeter's window", timeout)

    def wait_for_message(self, timeout: float = 20) -> None:
        """Return when the login asks, or says, something at the greeter."""
        self.wait_for("Prompt greeter with", timeout)

    def wait_for_session(self, account: str, timeout: float = 30) -> None:
        """Return when the account's session runs, with its window manager."""
        self.wait_for(f"User {account} authorized", timeout)
        wait_until(lambda: self.has_session(account), f"a session of {account}", timeout)

    def has_session(self, account: str) -> bool:
        """Whether the account's window manager runs."""
        return bool(self._host.run(["pgrep", "-u", account, "-x", "openbox"], check=False).stdout)

    def log_out(self, account: str) -> None:
        """End the account's session as its menu does; returns when it is over."""
        self._host.run(["pkill", "-TERM", "-u", account, "-x", "openbox"])
        wait_until(lambda: not self.has_session(account), f"the end of {account}'s session", 10)

    def wait_for(self, pattern: str, timeout: float) -> None:
        """Return when LightDM has logged something that matches since the last wait."""
        found: list[re.Match[str]] = []

        def logged() -> bool:
            found.extend(re.finditer(pattern, self.log[self._seen :]))
            return bool(found)

        try:
            wait_until(logged, pattern, timeout)
        except LabError as error:
            raise LabError(f"{error}\n{self.log[-3000:]}") from None
        self._seen += found[0].end()

    def _is_focused(self) -> bool:
        """Whether a window has the keyboard: 0 and 1 stand for none, and for the one below the pointer."""
        found = self._host.run(["xdotool", "getwindowfocus"], env=self.environment, check=False).stdout.strip()
        return found not in {"", "0", "1"}
