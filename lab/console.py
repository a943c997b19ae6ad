"""What stands at a machine: Xorg itself, on a monitor of the dummy driver, and a keyboard and a mouse that a test uses.

    console = Console(remote)
    console.start()
    console.plug_in()
    console.type(38)                # the key A; False if the X server has let the keyboard go
    console.brightness()            # of the monitor, not of what is drawn

The keyboard and the mouse are devices of Xorg like those of a person (inputtest(4)), not XTEST, by which programs type.
"""

from __future__ import annotations

import re
import socket
import struct

from lab.desktop import make_devices_private
from lab.hosts import Host
from lab.processes import Process, wait_until

DISPLAY = ":1"
COOKIE = "/run/x-cookie"
KEYBOARD, MOUSE = "Local keyboard", "Local mouse"
SOCKET = "/run/local-keyboard"
MONITOR = "DUMMY0"
_CONFIG = "/etc/X11/lab.conf"
_FILE = f"""\
Section "ServerFlags"
    Option "AutoAddDevices" "false"
    Option "AutoAddGPU" "false"
EndSection
Section "InputDevice"
    Identifier "{KEYBOARD}"
    Driver "inputtest"
    Option "DeviceType" "Keyboard"
    Option "SocketPath" "{SOCKET}"
EndSection
Section "InputDevice"
    Identifier "{MOUSE}"
    Driver "inputtest"
    Option "DeviceType" "Pointer"
    Option "SocketPath" "/run/local-mouse"
EndSection
Section "Device"
    Identifier "monitor"
    Driver "dummy"
EndSection
Section "Screen"
    Identifier "screen"
    Device "monitor"
    DefaultDepth 24
    SubSection "Display"
        Depth 24
        Modes "640x480"
    EndSubSection
EndSection
Section "ServerLayout"
    Identifier "layout"
    Screen "screen"
    InputDevice "{KEYBOARD}" "CoreKeyboard"
    InputDevice "{MOUSE}" "CorePointer"
EndSection
"""
_VERSION, _SYNC, _KEY = 0, 1, 5
"""Of xf86-input-inputtest-protocol.h."""


class Console:
    """The console of a host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._server: Process | None = None
        self._keyboard = socket.socket(socket.AF_UNIX)
        self.environment = {"DISPLAY": DISPLAY, "XAUTHORITY": COOKIE}
        """For programs of root that use the screen."""

    def start(self) -> None:
        """Start Xorg with a cookie, as a display manager would; returns when it can be used.

        Its virtual terminal is none: the machine's own stay as they are.
        """
        host = self._host
        make_devices_private(host)
        host.run(["ln", "-sf", "null", "/dev/tty7"])
        host.write(_CONFIG, _FILE)
        host.run(["xauth", "-f", COOKIE, "add", DISPLAY, ".", "0123456789abcdef" * 2], check=False)
        options = ["-config", _CONFIG, "-noreset", "-novtswitch", "-sharevts", "-nolisten", "tcp", "vt7"]
        self._server = host.start(["/usr/lib/xorg/Xorg", DISPLAY, "-auth", COOKIE, *options])
        wait_until(lambda: host.run(["xrandr"], env=self.environment, check=False).returncode == 0, "Xorg", 10)

    def plug_in(self) -> None:
        """Plug the keyboard in, unless it is; the X server has to listen to it by now."""
        if self._send(struct.pack("=Ii", 8, _SYNC)):
            self._keyboard.recv(8)
            return
        self._keyboard = socket.socket(socket.AF_UNIX)
        self._keyboard.settimeout(5)
        self._keyboard.connect(f"/proc/{self._host.first_process}/root{SOCKET}")
        self._send(struct.pack("=IiHH", 12, _VERSION, 1, 0))
        self._keyboard.recv(12)

    def type(self, *keys: int) -> bool:
        """Press and release keys (X's key codes); False if the X server has let the keyboard go."""
        return all(self._send(struct.pack("=IiiI", 16, _KEY, key, is_down)) for key in keys for is_down in (1, 0))

    def _send(self, event: bytes) -> bool:
        try:
            self._keyboard.sendall(event)
        except OSError:  # it was not plugged in, or the X server has let it go
            self._keyboard.close()
            return False
        return True

    def brightness(self) -> float:
        """How bright the monitor shows what is drawn, from 0; 1 is as it is drawn."""
        said = self._host.run(["xrandr", "--verbose"], env=self.environment).stdout
        return float(re.findall(r"Brightness: +([0-9.]+)", said)[0])

    def set_brightness(self, value: float) -> None:
        """As a night light or a person does."""
        self._host.run(["xrandr", "--output", MONITOR, "--brightness", str(value)], env=self.environment)

    def is_on(self, device: str) -> bool:
        """Whether the X server listens to a device."""
        said = self._host.run(["xinput", "list-props", device], env=self.environment).stdout
        return bool(re.search(r"Device Enabled \(\d+\):\s+1", said))

    def switch(self, device: str, state: str) -> None:
        """Have the X server listen to a device, or not: ``enable``, ``disable``."""
        self._host.run(["xinput", state, device], env=self.environment)
