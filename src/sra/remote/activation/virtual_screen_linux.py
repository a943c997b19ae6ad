"""A screen for a machine without a monitor: LightDM starts Xvfb in place of Xorg (docs/screen.md)."""

from __future__ import annotations

import re
from typing import ClassVar

from sra.remote.activation.changed_machine import ActivationError, LoginScreen, Machine, content
from sra.remote.activation.steps import File
from sra.remote.activation.undo import LOGIN_WINDOW, Kind

LIGHTDM = "/etc/lightdm"
FOLDER = f"{LIGHTDM}/lightdm.conf.d"
SETTINGS = f"{FOLDER}/secure-remote-access.conf"
NEEDED = (
    ("usr/sbin/lightdm", "lightdm"),
    ("usr/share/xgreeters/*.desktop", "lightdm-gtk-greeter"),
    ("usr/bin/Xvfb", "xvfb"),
    ("usr/bin/X0tigervnc", "tigervnc-scraping-server"),
)
"""What has to be there (a pattern below the root), and Debian's package of it."""
_IN_THE_WAY = re.compile(rb"^[ \t]*(xserver-command|logind-check-graphical)[ \t]*=(?![ \t]*false\b)", re.MULTILINE)
"""Settings of others that would decide in place of ours."""


class VirtualScreen(File):
    """LightDM's settings for a virtual screen, and that screen. One that is up already is not ended."""

    kind: ClassVar[Kind] = Kind.LOGIN_WINDOW

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether the settings are there, and a screen is."""
        return super().is_done(machine, changed=changed) and machine.screen() is not LoginScreen.NONE

    def do(self, machine: Machine) -> None:
        """Write them; LightDM reads them when it starts."""
        super().do(machine)
        if machine.screen() is LoginScreen.NONE:
            # A LightDM that found no screen may have failed so often that systemd won't start it any more.
            machine.execute(["systemctl", "reset-failed", LOGIN_WINDOW])
            machine.run(["systemctl", "restart", LOGIN_WINDOW])


def check(machine: Machine) -> None:
    """Raise ``ActivationError``, with the next step, where there can't or needn't be a virtual screen."""
    missing = [package for pattern, package in NEEDED if not any(machine.root.glob(pattern))]
    if missing:
        raise ActivationError(
            f"A virtual screen needs what is not installed here. Run: apt-get install {' '.join(missing)}"
        )
    if machine.screen() is not LoginScreen.NONE:
        raise ActivationError(
            "This machine shows a screen already, which “-s” alone shares; a virtual one is for a machine without a "
            "monitor. To have one all the same: log out there, run “systemctl stop display-manager”, and try again."
        )
    for path in (machine.path(LIGHTDM) / "lightdm.conf", *sorted(machine.path(FOLDER).glob("*.conf"))):
        if found := _IN_THE_WAY.search(content(path) or b""):
            setting = found[1].decode()
            raise ActivationError(f"{path} sets {setting}, by which LightDM would start another screen: remove it.")


def monitors(machine: Machine) -> list[str]:
    """The connectors (such as ``card0-HDMI-A-1``) that something is plugged into."""
    states = sorted(machine.path("/sys/class/drm").glob("card*-*/status"))
    return [state.parent.name for state in states if state.read_text().strip() == "connected"]
