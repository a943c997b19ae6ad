"""Keeps the console dark and deaf while its display is shared: what is on it goes on, unseen by the people there.

``python -I -m sra.remote.screen_sharing.x11.console_x11``. Every CRTC's gamma ramp is black (RandR 1.3), which changes
what monitors show and not what is drawn; and every input device is off (XInput 2) but those of XTEST, by which the
screen server types. It says on its output how it stands (``ConsoleWord``), and puts everything back when its input
ends or by SIGTERM. It must not end together with the program that started it, or the console would stay dark.

What has to be put back is kept by the X server itself: a mark on each device, the former ramps as properties of the
root window. So this program, run with an input that has ended, puts back what one that was killed has left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from sra.remote.screen_sharing.x11.x11 import MalformedError, RequestError, X11Connection, connect, unpacked

LOOK_AGAIN = 0.1
"""Seconds between looks: nothing tells that another program, such as a night light, has set a ramp."""
TRIES = 3
"""Looks until everything is as it should be; a monitor or device may go between a question and the next."""
MARK, FORMER = b"Secure Remote Access: switched off", b"Secure Remote Access: former ramp of CRTC %d"

_INPUT, _OUTPUT = 0, 1
_INTEGER = 19
_SLAVES = {3, 4, 5}
"""The devices themselves (XIQueryDevice): pointers, keyboards, and those that move no pointer of the screen."""
_MONITORS_CHANGE = 1 | 2 | 4
"""RRSelectInput: the screen, a CRTC, an output."""
_DEVICES_CHANGE = 1 << 11
"""XISelectEvents: XI_HierarchyChanged."""


class ConsoleWord(StrEnum):
    """How it stands."""

    DARK = "dark"
    """Everything is black and off."""
    NO_RAMPS = "no ramps"
    NO_DEVICES = "no devices"
    """The X server can't do it."""
    NOT_KEPT = "not kept"
    """Something becomes visible or usable again and again."""
    GONE = "gone"
    """The X server has ended."""


class BlankingError(Exception):
    """It can't be dark; ``args`` holds the word."""


class Ramps:
    """The gamma ramps of the CRTCs, lit or not: a monitor that is plugged in later is black from the beginning."""

    def __init__(self, server: X11Connection) -> None:
        self._server = server
        self._opcode = server.extension(b"RANDR")
        if not self._opcode or server.screen.screens > 1:
            raise BlankingError(ConsoleWord.NO_RAMPS)
        version = unpacked("<II", server.ask(self._opcode, 0, struct.pack("<II", 1, 3)), 8)  # QueryVersion
        if version < (1, 3):
            raise BlankingError(ConsoleWord.NO_RAMPS)
        server.request(self._opcode, 4, struct.pack("<IHxx", server.screen.root, _MONITORS_CHANGE))  # SelectInput

    def blacken(self) -> bool:
        """Make them black; whether all were already. How one is that is not yet, will be put back."""
        were_black = True
        ramps = tuple(self._all())
        if not ramps or not all(ramp for _, ramp in ramps):
            raise BlankingError(ConsoleWord.NO_RAMPS)
        for crtc, ramp in ramps:
            if any(ramp):
                were_black = False
                name = self._server.atom(FORMER % crtc)
                values = (self._server.screen.root, name, _INTEGER, 16, len(ramp) // 2)
                self._server.request(18, 0, struct.pack("<IIIBxxxI", *values) + ramp)  # ChangeProperty
                self._set(crtc, bytes(len(ramp)))
        return were_black

    def put_back(self) -> None:
        """As they were."""
        for crtc, ramp in self._all():
            wanted = (self._server.screen.root, self._server.atom(FORMER % crtc), _INTEGER, 0, -(-len(ramp) // 4))
            reply = self._server.ask(20, 1, struct.pack("<IIIII", *wanted))  # GetProperty, deleting it
            former = reply[32 : 32 + len(ramp)]
            if former and unpacked("<I", reply, 16)[0] == len(ramp) // 2:
                self._set(crtc, former)

    def _all(self) -> Iterator[tuple[int, bytes]]:
        """Each CRTC, and its red, green and blue one after the other."""
        reply = self._server.ask(self._opcode, 25, struct.pack("<I", self._server.screen.root))
        count = unpacked("<H", reply, 16)[0]  # GetScreenResourcesCurrent
        for crtc in unpacked(f"<{count}I", reply, 32):
            reply = self._server.ask(self._opcode, 23, struct.pack("<I", crtc))  # GetCrtcGamma
            yield crtc, reply[32 : 32 + 6 * unpacked("<H", reply, 8)[0]]

    def _set(self, crtc: int, ramp: bytes) -> None:
        self._server.request(self._opcode, 24, struct.pack("<IHxx", crtc, len(ramp) // 6) + ramp)  # SetCrtcGamma


class Devices:
    """The input devices."""

    def __init__(self, server: X11Connection) -> None:
        self._server = server
        self._opcode = server.extension(b"XInputExtension")
        if not self._opcode:
            raise BlankingError(ConsoleWord.NO_DEVICES)
        major = unpacked("<H", server.ask(self._opcode, 47, struct.pack("<HH", 2, 0)), 8)[0]  # XIQueryVersion
        if major < 2:
            raise BlankingError(ConsoleWord.NO_DEVICES)
        self._is_on, self._is_xtest, self._mark = map(server.atom, (b"Device Enabled", b"XTEST Device", MARK))
        mask = struct.pack("<IHxxHHI", server.screen.root, 1, 0, 1, _DEVICES_CHANGE)
        server.request(self._opcode, 46, mask)  # XISelectEvents

    def switch_off(self) -> bool:
        """Switch off and mark what a person could type or point with; whether all were off already."""
        on = [device for device, is_on in self._all() if is_on and not self._has(device, self._is_xtest)]
        for device in on:
            self._set(device, self._mark, 1)
            self._set(device, self._is_on, 0)
        return not on

    def put_back(self) -> None:
        """Switch on what bears the mark: not what its owner had off."""
        for device, _ in self._all():
            if self._has(device, self._mark):
                self._set(device, self._is_on, 1)
                self._server.request(self._opcode, 58, struct.pack("<HxxI", device, self._mark))  # XIDeleteProperty

    def _all(self) -> Iterator[tuple[int, bool]]:
        """The number of each, and whether it is on."""
        reply = self._server.ask(self._opcode, 48, struct.pack("<Hxx", 0))  # XIQueryDevice: all
        place = 32
        for _ in range(unpacked("<H", reply, 8)[0]):
            number, use, _, classes, name, is_on = unpacked("<HHHHHB", reply, place)
            place += 12 + name + -name % 4
            for _ in range(classes):
                length = unpacked("<H", reply, place + 2)[0]
                if length == 0:  # else one reply could keep this busy for minutes
                    raise MalformedError("a class of a device that has no length")
                place += 4 * length
            if use in _SLAVES:
                yield number, bool(is_on)

    def _has(self, device: int, name: int) -> bool:
        wanted = struct.pack("<HBxIIII", device, 0, name, _INTEGER, 0, 1)
        return any(self._server.ask(self._opcode, 59, wanted)[32:33])  # XIGetProperty

    def _set(self, device: int, name: int, value: int) -> None:
        change = struct.pack("<HBBIIIB", device, 0, 8, name, _INTEGER, 1, value)
        self._server.request(self._opcode, 57, change)  # XIChangeProperty


class Console:
    """What a display shows and is worked with at the machine itself."""

    def __init__(self, server: X11Connection) -> None:
        self._server = server
        self._ramps = Ramps(server)
        self._devices = Devices(server)

    def darken(self) -> None:
        """Make all of it dark and deaf, and see that it is; ``BlankingError`` if it does not stay so."""
        for _ in range(TRIES):
            with contextlib.suppress(RequestError):
                are_black, are_off = self._ramps.blacken(), self._devices.switch_off()
                if are_black and are_off:
                    return
        raise BlankingError(ConsoleWord.NOT_KEPT)

    def put_back(self) -> None:
        """As it was; not while another virtual terminal is shown: what is typed there would come here too."""
        wanted = (self._server.screen.root, self._server.atom(b"XFree86_has_VT"), _INTEGER, 0, 1)
        while self._server.ask(20, 0, struct.pack("<IIIII", *wanted))[32:36] == bytes(4):  # GetProperty: away
            time.sleep(LOOK_AGAIN)
        for part in (self._ramps.put_back, self._devices.put_back):
            for _ in range(TRIES):
                with contextlib.suppress(RequestError):
                    part()
                    break
        self._server.atom(MARK)  # the reply comes when all of it is done

    def wait(self) -> None:
        """Return after a while, or as soon as something changes or is said."""
        self._server.wait(LOOK_AGAIN, _INPUT)
        while self._server.wait(0):
            self._server.packet()


def keep_dark(server: X11Connection, is_over: Callable[[], bool], say: Callable[[ConsoleWord], object]) -> None:
    """Keep it dark until it is over, then put it back; the first word is said when it is dark."""
    console = Console(server)
    try:
        is_said = False
        while not is_over():
            console.darken()
            if not is_said:
                say(ConsoleWord.DARK)
                is_said = True
            console.wait()
    finally:
        console.put_back()


def main(display: str, cookies: Path) -> None:
    """Keep the console of the display dark until standard input ends or SIGTERM comes."""
    asked_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_end.append(number))
    os.set_blocking(_INPUT, False)

    def is_over() -> bool:
        try:
            return bool(asked_to_end) or not os.read(_INPUT, 1)
        except BlockingIOError:
            return False

    try:
        keep_dark(connect(display, cookies), is_over, say)
    except BlankingError as error:
        say(error.args[0])
    except OSError:
        say(ConsoleWord.GONE)


def say(word: ConsoleWord) -> None:
    """Write it to the program that started this, if it is still there."""
    with contextlib.suppress(OSError):
        os.write(_OUTPUT, f"{word}\n".encode())


if __name__ == "__main__":
    main(os.environ["DISPLAY"], Path(os.environ["XAUTHORITY"]))
