"""``sra session``: which connection is told what, and what is said where there is none."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from sra.admin import control
from sra.admin.control import Control, ControlRequest, ControlStatus
from sra.programs.run import status
from tests.cli.whole import app


class Running:
    """A connection that takes orders, in a thread of its own."""

    def __init__(self, folder: Path, remote: str, standing: dict[str, bool] | None = None) -> None:
        self._folder = folder
        as_usual = ControlStatus(remote, "ann", "software:ann", connected=True, inserted=True, paused=False, uses=3)
        self._standing = msgspec.structs.replace(as_usual, **(standing or {}))
        self.orders: list[ControlRequest] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def _does(self, order: ControlRequest) -> Callable[[], Awaitable[ControlStatus]]:
        async def done() -> ControlStatus:
            if order is not ControlRequest.STATUS:
                self.orders.append(order)
            code = "1234 5678" if order is ControlRequest.REOPEN else ""
            return msgspec.structs.replace(self._standing, code=code)

        return done

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        taking = Control(self._folder, {order: self._does(order) for order in ControlRequest})
        await taking.open()
        path = self._folder / f"{os.getpid()}.socket"
        own = path.with_name(f"{self._standing.remote}.socket")
        path.rename(own)
        self._ready.set()
        await self._stop.wait()
        own.unlink()
        await taking.close()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()


class Person:
    """Somebody who types ``sra session``."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys

    @contextmanager
    def running(self, *remotes: str, **standing: bool) -> Iterator[dict[str, Running]]:
        found = {remote: Running(self._folder / "sessions", remote, standing) for remote in remotes}
        with ExitStack() as stack:
            for each in found.values():
                each.start()
                stack.callback(each.stop)
            yield found

    def types(self, *words: str) -> tuple[int, str, str]:
        """The exit status, and what is shown on both streams."""
        code = status(app, ["session", *words, "--config-dir", str(self._folder)])
        shown = self._capsys.readouterr()
        return code, shown.out, shown.err


@pytest.fixture
def person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Person:
    return Person(tmp_path, capsys)


ORDERS = [
    ControlRequest.EJECT,
    ControlRequest.INSERT,
    ControlRequest.PAUSE,
    ControlRequest.RESUME,
    ControlRequest.REOPEN,
]


@pytest.mark.parametrize("order", ORDERS)
def test_the_only_connection_needs_no_name(order: ControlRequest, person: Person) -> None:
    with person.running("desk") as running:
        code, out, err = person.types(order.value)
        assert (code, running["desk"].orders) == (0, [order])
        assert err.startswith("sra: desk: ")
        assert out == ("Session code 1234 5678\n" if order is ControlRequest.REOPEN else "")


def test_with_several_the_named_one_is_told(person: Person) -> None:
    with person.running("desk", "kiosk") as running:
        assert person.types("eject", "kiosk")[0] == 0
        assert (running["desk"].orders, running["kiosk"].orders) == ([], [ControlRequest.EJECT])


@pytest.mark.parametrize("words", [("eject",), ("eject", "elsewhere"), ("pause", "des*")])
def test_what_is_not_clear_is_not_done(words: tuple[str, ...], person: Person) -> None:
    with person.running("desk", "kiosk") as running:
        code, _, err = person.types(*words)
        assert code == 2
        assert "There are: desk, kiosk." in err
        assert running["desk"].orders == running["kiosk"].orders == []


def test_where_nothing_runs_it_says_so(person: Person) -> None:
    code, _, err = person.types("eject")
    assert (code, "No connection with any remote runs" in err) == (2, True)
    assert person.types("list") == (0, "No connection runs.\n", "")


@pytest.mark.parametrize(
    ("standing", "state"),
    [
        ({}, "inserted"),
        ({"paused": True}, "paused"),
        ({"inserted": False}, "ejected"),
        ({"inserted": False, "paused": True}, "ejected"),
        ({"connected": False, "inserted": False}, "link lost"),
    ],
)
def test_the_list_tells_how_each_stands(standing: dict[str, bool], state: str, person: Person) -> None:
    with person.running("desk", **standing):
        code, out, _ = person.types("list")
        assert code == 0
        assert out.splitlines()[1].split("  ")[0] == "desk"
        assert state in out
        assert json.loads(person.types("list", "--json")[1])[0]["uses"] == 3


def test_one_that_hangs_holds_up_no_other(person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "STATUS_DEADLINE", 0.3)
    with person.running("desk") as running, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "sessions" / "99.socket"))
        silent.listen()
        code, _, err = person.types("eject")
        assert (code, running["desk"].orders) == (0, [ControlRequest.EJECT])
        assert "Process 99 does not answer" in err
        assert "desk" in person.types("list")[1]


def test_a_remotes_name_does_nothing_to_the_terminal(person: Person) -> None:
    assert "\x1b" not in person.types("eject", "\x1b[31m")[2]
