"""A user logged in at a host's console, in a Wayland session (sway) whose screen is only in memory."""

from __future__ import annotations

from lab.desktop import make_devices_private
from lab.hosts import Host
from lab.processes import Process, wait_until

CONFIG = """\
output HEADLESS-1 mode 640x480
output * bg #204060 solid_color
bindsym Escape exec touch /tmp/escape-was-pressed
"""
PRESSED = "/tmp/escape-was-pressed"  # noqa: S108
SEEN = "pgrep --exact swaynag >/dev/null"
CLICK = " && ".join(f'swaymsg -q "seat - cursor {what}"' for what in ("set $1 $2", "press button1", "release button1"))
TERMINAL = "/dev/tty1"


class SwaySession:
    """A user's session, and the user's hands."""

    def __init__(self, host: Host, name: str) -> None:
        self._host = host
        self._name = name
        self._folder = f"/run/user/{host.account(name).uid}"
        self._environment = {"XDG_RUNTIME_DIR": self._folder, "WAYLAND_DISPLAY": "wayland-1"}

    def start(self, *, at_console: bool = True) -> Process:
        """As login(1) would at the console, or as any user with a shell can; returns when it can be used."""
        self._host.run(["install", "-d", "-m", "700", "-o", self._name, "-g", self._name, self._folder])
        self._host.write("/etc/sway-config", CONFIG)
        stdin = TERMINAL if at_console else "/dev/null"
        if at_console:
            self._make_terminal()
        headless = {"WLR_BACKENDS": "headless", "WLR_RENDERER": "pixman", "WLR_LIBINPUT_NO_DEVICES": "1"}
        session = self._host.start(
            ["sh", "-c", f"exec sway --config /etc/sway-config <{stdin}"],
            user=self._name,
            env={"XDG_RUNTIME_DIR": self._folder, **headless},
        )
        self._wait_for("wayland-1")
        return session

    def _make_terminal(self) -> None:
        """What stands for one that is given to who logs in."""
        make_devices_private(self._host)
        self._host.run(["sh", "-c", "touch $1 && chmod 666 $1", "sh", TERMINAL])

    def take_the_mouse(self) -> None:
        """Give the session a mouse, which is another wayvnc's, the user's own."""
        self._host.start(["wayvnc", "-u", f"{self._folder}/mouse"], user=self._name, env=self._environment)
        self._wait_for("mouse")

    def click(self, x: int, y: int) -> None:
        """Press the mouse's button there."""
        self._run(CLICK, str(x), str(y))

    def answer(self, x: int, y: int) -> Process:
        """Press it there as soon as swaynag asks something, until it has got an answer; returns at once."""
        script = f"until {SEEN}; do sleep 0.05; done; while {SEEN}; do {CLICK}; sleep 0.1; done"
        return self._host.start(self._script(script, str(x), str(y)), user=self._name, env=self._environment)

    def say(self, command: str) -> None:
        """Have sway do something (sway(5))."""
        self._run('swaymsg "$1"', command)

    def _run(self, script: str, *values: str) -> None:
        self._host.run(self._script(script, *values), user=self._name, env=self._environment)

    def _script(self, script: str, *values: str) -> list[str]:
        return ["sh", "-c", f'export SWAYSOCK=$(echo "$XDG_RUNTIME_DIR"/sway-ipc.*); {script}', "sh", *values]

    def log_out(self) -> None:
        """End the session."""
        gone = "pkill --euid $1 --exact sway; while pgrep --exact sway >/dev/null; do sleep 0.02; done"
        self._host.run(["sh", "-c", f"{gone}; rm -rf $2 {PRESSED}", "sh", self._name, self._folder])

    def _wait_for(self, name: str) -> None:
        path = f"{self._folder}/{name}"
        wait_until(lambda: self._host.run(["test", "-S", path], check=False).returncode == 0, f"{path} of sway", 10)
