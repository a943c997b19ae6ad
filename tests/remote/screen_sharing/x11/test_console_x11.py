"""The console that is dark and deaf, with an X server of a few lines."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import cast

import pytest

from sra.remote.screen_sharing.x11 import console_x11
from sra.remote.screen_sharing.x11.console_x11 import MARK, BlankingError, ConsoleWord, keep_dark
from sra.remote.screen_sharing.x11.x11 import RequestError, X11Connection, X11Screen

SIZE = 4
RAMP = struct.pack("<4H", 0, 20, 40, 60) * 3
BLACK = bytes(len(RAMP))
RANDR, XI = 140, 131
MASTER, SLAVE = 2, 3
XTEST, KEYBOARD, OFF_BEFORE = 4, 6, 7


class Server:
    """CRTCs with their ramps, devices with what is set of them, and properties of the root window."""

    def __init__(self) -> None:
        self.screen = X11Screen(0, 1, 640, 1)
        self.extensions = {b"RANDR": RANDR, b"XInputExtension": XI}
        self.versions = {RANDR: (1, 6), XI: (2, 4)}
        self.atoms: list[bytes] = [b"none"]
        self.ramps = {63: RAMP, 64: RAMP}
        self.kept: dict[int, bytes] = {}
        on, xtest = self.atom(b"Device Enabled"), self.atom(b"XTEST Device")
        self.devices = {2: {on: 1}, XTEST: {on: 1, xtest: 1}, KEYBOARD: {on: 1}, OFF_BEFORE: {on: 0}}
        self.stubborn: set[int] = set()
        self.away = 0
        """How many more looks find another virtual terminal shown."""
        self.goes: list[Callable[[], None]] = []
        """What happens before the next questions."""

    def extension(self, name: bytes) -> int:
        return self.extensions.get(name, 0)

    def atom(self, name: bytes) -> int:
        if name not in self.atoms:
            self.atoms.append(name)
        return self.atoms.index(name)

    def is_on(self, device: int) -> bool:
        return bool(self.devices[device][self.atom(b"Device Enabled")])

    def marked(self) -> list[int]:
        return [number for number, values in self.devices.items() if self.atom(MARK) in values]

    def wait(self, *_: object) -> bool:
        return False

    def ask(self, opcode: int, detail: int, body: bytes) -> bytes:
        if self.goes:
            self.goes.pop(0)()
        return self._answers[opcode, detail](self, body)

    def request(self, opcode: int, detail: int, body: bytes) -> None:
        if (opcode, detail) in self._orders:
            self._orders[opcode, detail](self, body)

    def _crtcs(self, _: bytes) -> bytes:
        return struct.pack("<16xH14x", len(self.ramps)) + struct.pack(f"<{len(self.ramps)}I", *self.ramps)

    def _ramp(self, body: bytes) -> bytes:
        ramp = self.ramps[struct.unpack("<I", body)[0]]
        return struct.pack("<8xH22x", len(ramp) // 6) + ramp

    def _set_ramp(self, body: bytes) -> None:
        self.ramps[struct.unpack_from("<I", body)[0]] = body[8:]

    def _keep(self, body: bytes) -> None:
        self.kept[struct.unpack_from("<I", body, 4)[0]] = body[20:]

    def _take(self, body: bytes) -> bytes:
        value = self.kept.pop(struct.unpack_from("<I", body, 4)[0], b"")
        return struct.pack("<16xI12x", len(value) // 2) + value

    def _terminal(self, _: bytes) -> bytes:
        self.away, shown = max(0, self.away - 1), not self.away
        return bytes(32) + struct.pack("<I", shown)

    def _list(self, _: bytes) -> bytes:
        use = {number: MASTER if number == 2 else SLAVE for number in self.devices}
        told = [
            struct.pack("<HHHHHBx4sHHH2x", number, use[number], 0, 1, 3, self.is_on(number), b"abc", 0, 2, 0)
            for number in self.devices
        ]
        return struct.pack("<8xH22x", len(told)) + b"".join(told)

    def _property(self, body: bytes) -> bytes:
        device, name = struct.unpack_from("<HBxI", body)[::2]
        return bytes(32) + bytes([self.devices[device].get(name, 0)])

    def _set_property(self, body: bytes) -> None:
        device, _, _, name, _, _, value = struct.unpack("<HBBIIIB", body)
        if device not in self.stubborn:
            self.devices[device][name] = value

    def _delete_property(self, body: bytes) -> None:
        device, name = struct.unpack("<HxxI", body)
        del self.devices[device][name]

    _answers: dict[tuple[int, int], Callable[[Server, bytes], bytes]] = {  # noqa: RUF012 - a table
        (RANDR, 0): lambda self, _: struct.pack("<8xII16x", *self.versions[RANDR]),
        (RANDR, 25): _crtcs,
        (RANDR, 23): _ramp,
        (XI, 47): lambda self, _: struct.pack("<8xHH20x", *self.versions[XI]),
        (XI, 48): _list,
        (XI, 59): _property,
        (20, 0): _terminal,
        (20, 1): _take,
    }
    _orders: dict[tuple[int, int], Callable[[Server, bytes], None]] = {  # noqa: RUF012 - a table
        (RANDR, 24): _set_ramp,
        (XI, 57): _set_property,
        (XI, 58): _delete_property,
        (18, 0): _keep,
    }


def kept_dark(server: Server, rounds: int = 1, meanwhile: Callable[[int], None] = lambda _: None) -> list[ConsoleWord]:
    """What was said, when it was kept dark for so many looks."""
    said: list[ConsoleWord] = []
    seen = iter(range(rounds + 1))

    def is_over() -> bool:
        number = next(seen)
        meanwhile(number)
        return number == rounds

    keep_dark(cast("X11Connection", server), is_over, said.append)
    return said


def is_as_before(server: Server) -> bool:
    devices = [server.is_on(number) for number in (XTEST, KEYBOARD, OFF_BEFORE)]
    return set(server.ramps.values()) == {RAMP} and devices == [True, True, False] and not server.marked()


def is_dark(server: Server) -> bool:
    devices = [server.is_on(number) for number in (XTEST, KEYBOARD, OFF_BEFORE)]
    return set(server.ramps.values()) == {BLACK} and devices == [True, False, False]


def test_it_is_dark_and_deaf_meanwhile_and_as_before_afterwards() -> None:
    server = Server()
    seen: list[bool] = []
    assert kept_dark(server, 2, lambda number: seen.append(is_dark(server))) == [ConsoleWord.DARK]
    assert seen == [False, True, True]
    assert is_as_before(server)
    assert server.kept == {}


def test_a_monitor_and_a_keyboard_that_come_later_are_dark_and_deaf_too() -> None:
    server = Server()

    def plug_in(number: int) -> None:
        if number == 1:
            server.ramps[65] = RAMP
            server.devices[8] = {server.atom(b"Device Enabled"): 1}
        if number == 2:
            assert server.ramps[65] == BLACK
            assert not server.is_on(8)

    kept_dark(server, 2, plug_in)
    assert server.ramps[65] == RAMP
    assert server.is_on(8)


def test_what_others_set_meanwhile_is_undone_and_put_back_at_the_end() -> None:
    server = Server()
    night = bytes(6) + RAMP[6:]

    def night_light(number: int) -> None:
        if number == 1:
            server.ramps[63] = night
        if number == 2:
            assert is_dark(server)

    kept_dark(server, 2, night_light)
    assert server.ramps == {63: night, 64: RAMP}


def test_what_was_black_before_stays_so() -> None:
    server = Server()
    server.ramps[64] = BLACK
    kept_dark(server)
    assert server.ramps == {63: RAMP, 64: BLACK}


def test_what_a_killed_one_has_left_is_put_back() -> None:
    server = Server()
    console_x11.Console(cast("X11Connection", server)).darken()
    assert is_dark(server)
    assert kept_dark(server, 0) == []
    assert is_as_before(server)


def test_nothing_is_switched_on_while_another_terminal_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    seen: list[bool] = []
    monkeypatch.setattr("time.sleep", lambda _: seen.append(is_dark(server)))

    def leave(_: int) -> None:
        server.away = 3

    kept_dark(server, 1, leave)
    assert seen == [True, True, True]
    assert is_as_before(server)


def without_crtcs(server: Server) -> None:
    server.ramps.clear()


def without_a_ramp(server: Server) -> None:
    server.ramps[64] = b""


def without_randr(server: Server) -> None:
    del server.extensions[b"RANDR"]


def with_old_randr(server: Server) -> None:
    server.versions[RANDR] = (1, 2)


def with_two_screens(server: Server) -> None:
    server.screen = X11Screen(0, 1, 640, 2)


def without_xi(server: Server) -> None:
    del server.extensions[b"XInputExtension"]


def with_old_xi(server: Server) -> None:
    server.versions[XI] = (1, 5)


def with_a_stubborn_keyboard(server: Server) -> None:
    server.stubborn.add(KEYBOARD)


@pytest.mark.parametrize(
    ("lacking", "word"),
    [
        (without_crtcs, ConsoleWord.NO_RAMPS),
        (without_a_ramp, ConsoleWord.NO_RAMPS),
        (without_randr, ConsoleWord.NO_RAMPS),
        (with_old_randr, ConsoleWord.NO_RAMPS),
        (with_two_screens, ConsoleWord.NO_RAMPS),
        (without_xi, ConsoleWord.NO_DEVICES),
        (with_old_xi, ConsoleWord.NO_DEVICES),
        (with_a_stubborn_keyboard, ConsoleWord.NOT_KEPT),
    ],
)
def test_where_it_can_not_be_dark_it_is_said_and_nothing_is_left(
    lacking: Callable[[Server], None], word: ConsoleWord
) -> None:
    server = Server()
    lacking(server)
    before = dict(server.ramps)
    with pytest.raises(BlankingError) as raised:
        kept_dark(server)
    assert raised.value.args == (word,)
    assert server.ramps == before
    assert server.is_on(KEYBOARD)


def test_a_monitor_that_goes_between_two_questions_does_no_harm() -> None:
    server = Server()

    def nothing() -> None: ...

    def unplug() -> None:
        del server.ramps[64]
        raise RequestError

    server.goes = [nothing, nothing, nothing, unplug]
    assert kept_dark(server) == [ConsoleWord.DARK]
    assert is_as_before(server)


def test_the_server_goes() -> None:
    server = Server()

    def go(number: int) -> None:
        if number == 1:
            server.goes = [gone, gone, gone]

    def gone() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        kept_dark(server, 2, go)
