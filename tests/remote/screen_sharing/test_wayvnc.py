"""The door in front of wayvnc: who comes in, what is refused; and what is said on the session's screen."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sra.errors import LinkError, ProtocolError
from sra.remote.screen_sharing.screen_account import ScreenAccount, ServerError
from sra.remote.screen_sharing.wayland import pam_linux, wayvnc_proxy, wlroots_linux
from sra.remote.screen_sharing.wayland.wayvnc_proxy import MAX_GUESTS, WayvncProxy
from sra.remote.screen_sharing.wayland.wlroots_linux import Compositor, WlrootsScreen
from sra.remote.screen_sharing.x11.displays_linux import RunningProcess
from sra.transport.stream import Stream
from tests.rfb_client import Attempt, RfbClient, attempt

ACCOUNT = ScreenAccount("_srascreen", 999, 999)
SERVER_INIT = struct.pack(">HH16xI", 640, 480, 6) + b"WayVNC"
IN, OUT = Attempt((640, 480), ""), wayvnc_proxy.REFUSED.decode()
LOGIN = (
    b"RFB 003.008\n" + b"\x13" + b"\0\2" + struct.pack(">III", 256, 10, 5) + b"_srascreen" + b"right"
    b"\1"
)  # fmt: skip

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def wayvnc(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that asks for nothing, as wayvnc without enable_auth; then it says back what it hears."""
    writer.write(b"RFB 003.008\n")
    assert await reader.readexactly(12) == b"RFB 003.008\n"
    writer.write(b"\1\1")
    assert await reader.readexactly(1) == b"\1"
    writer.write(bytes(4))
    assert await reader.readexactly(1) == b"\1"
    writer.write(SERVER_INIT)
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def door(folder: Path, monkeypatch: pytest.MonkeyPatch, server: Handler = wayvnc) -> AsyncIterator[list[str]]:
    """A door whose PAM takes “right”; the passwords that PAM was asked about."""
    asked: list[str] = []

    def lets_in(service: str, username: str, password: str) -> bool:
        assert (service, username) == ("sra-vnc", ACCOUNT.name)
        asked.append(password)
        return password == "right"

    monkeypatch.setattr(pam_linux, "lets_in", lets_in)
    inner = await asyncio.start_unix_server(server, folder / "inner")
    with wayvnc_proxy._listen(folder / "vnc") as listening:
        serving = asyncio.create_task(WayvncProxy(folder / "inner", ACCOUNT).serve(listening))
        yield asked
        serving.cancel()
    inner.close()


async def test_whom_pam_lets_in_sees_the_screen_under_our_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> bytes:
        client = RfbClient(tmp_path / "vnc")
        client.log_in(ACCOUNT.name, "right")
        assert client.size == (640, 480)
        client.press(0x41)
        said = client.read(16)
        client.close()
        return said

    async with door(tmp_path, monkeypatch) as asked:
        assert await asyncio.to_thread(look) == struct.pack(">BBxxIBBxxI", 4, 1, 0x41, 4, 0, 0x41)
        assert asked == ["right"]


async def test_nobody_else_comes_in_and_others_are_not_asked_of_pam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with door(tmp_path, monkeypatch) as asked:
        for name, password in ((ACCOUNT.name, "wrong"), (ACCOUNT.name, ""), ("root", "right"), ("", "")):
            assert await asyncio.to_thread(attempt, tmp_path / "vnc", name, password) == Attempt((0, 0), OUT)
        assert asked == ["wrong", ""]
        assert await asyncio.to_thread(attempt, tmp_path / "vnc", ACCOUNT.name, "right") == IN


async def test_a_screen_has_few_guests_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with door(tmp_path, monkeypatch):
        guests = [await asyncio.open_unix_connection(tmp_path / "vnc") for _ in range(MAX_GUESTS)]
        for reader, _ in guests:
            assert await reader.readexactly(12) == wayvnc_proxy.VERSION
        reader, writer = await asyncio.open_unix_connection(tmp_path / "vnc")
        assert await reader.read() == b""
        for _, guest in (*guests, (reader, writer)):
            guest.close()


async def said_to(path: Path, words: bytes) -> bytes:
    """All that is answered to a viewer that says this and no more."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(words)
    writer.write_eof()
    said = await reader.read()
    writer.close()
    return said


@pytest.mark.parametrize(
    "words",
    [
        LOGIN.replace(b"003.008", b"003.003"),
        LOGIN.replace(b"\x13", b"\1"),
        LOGIN.replace(b"\0\2", b"\0\1"),
        LOGIN.replace(struct.pack(">I", 256), struct.pack(">I", 257)),
        LOGIN.replace(struct.pack(">I", 10), struct.pack(">I", 65)) + bytes(100),
        LOGIN.replace(struct.pack(">II", 10, 5), struct.pack(">II", 10, 129)) + bytes(200),
        LOGIN.replace(struct.pack(">II", 10, 5), struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF)),
        LOGIN.replace(b"right", b"\xff\xff\xff\xff\xff"),
        *(LOGIN[:length] for length in range(len(LOGIN) - 1)),
    ],
)
async def test_what_is_no_login_by_name_and_password_is_cut_off(
    words: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with door(tmp_path, monkeypatch) as asked:
        assert SERVER_INIT[-6:] not in await said_to(tmp_path / "vnc", words)
        assert asked == []


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=200))
async def test_noise_is_cut_off(words: bytes) -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(words)
    ours.shutdown(socket.SHUT_WR)
    _, viewer = await asyncio.get_running_loop().create_unix_connection(Stream, sock=theirs)
    with pytest.raises((LinkError, ProtocolError)):
        await wayvnc_proxy.admit(viewer, lambda _: pytest.fail("judged"))
    viewer.close()
    ours.close()


@pytest.mark.parametrize("words", [b"RFB 003.003\n\1\1", b"RFB 003.008\n\1\2", b"RFB 003.008\n\1\1\0\0\0\1", b""])
async def test_a_server_of_another_kind_is_not_shown(
    words: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        writer.write_eof()
        await reader.read()
        writer.close()

    async with door(tmp_path, monkeypatch, other):
        done = await asyncio.to_thread(attempt, tmp_path / "vnc", ACCOUNT.name, "right")
        assert done.refusal == "the server closed the connection after b''"


def test_pam_is_not_asked_about_what_c_would_cut_short() -> None:
    assert not pam_linux.lets_in("sra-vnc", "_srascreen", "right\0")


@pytest.mark.parametrize("view_only", [True, False])
def test_wayvnc_listens_at_a_socket_and_takes_nothing_where_it_is_only_watched(view_only: bool) -> None:
    argv = wayvnc_proxy.arguments(Path("/run/inner"), view_only=view_only)
    assert argv[-2:] == ("--unix-socket", "/run/inner")
    assert ("--disable-input" in argv) is view_only


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = WlrootsScreen(Compositor(RunningProcess(1, 1000, ("sway",))), ACCOUNT, Path("/run"))
    monkeypatch.setattr(shutil, "which", lambda program, path: program if program == "wayvnc" else None)
    screen.check(speaks=False)
    with pytest.raises(ServerError, match=r"swaynag is not installed on the remote \(Debian: sway\)"):
        screen.check(speaks=True)
    monkeypatch.setattr(shutil, "which", lambda program, path: None)
    with pytest.raises(ServerError, match=r"wayvnc is not installed on the remote \(Debian: wayvnc\)"):
        screen.check(speaks=False)


def test_the_question_is_one_argument_and_the_button_says_a_fixed_word() -> None:
    asked = wlroots_linux.question("ann; rm -rf / (192.0.2.1)", 30)
    assert asked[-1] == "ann; rm -rf / (192.0.2.1) wants to see this screen and work at it: refused in 30 s."
    assert asked[asked.index("Allow") + 1] == "echo allowed"
    assert sum("ann" in word for word in asked) == 1


@pytest.mark.parametrize(
    ("answer", "is_yes"),
    [(b"allowed\n", True), (b"", False), (b"allowed", False), (b"allowed\nallowed\n", False), (None, False)],
)
async def test_only_that_word_in_time_is_a_yes(
    answer: bytes | None, is_yes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(_self: object, _argv: object, stdout: int) -> asyncio.subprocess.Process:
        talk = ("sleep", "60") if answer is None else ("printf", "%b", answer.decode())
        return await asyncio.create_subprocess_exec(*talk, stdout=stdout)

    monkeypatch.setattr(WlrootsScreen, "_start", start)
    person = Compositor(RunningProcess(1, 1000, ("sway",)))
    assert await WlrootsScreen(person, ACCOUNT, Path("/run")).consents("ann", 1) is is_yes


async def test_nobody_is_asked_at_a_login_window() -> None:
    login = Compositor(RunningProcess(1, 110, ("sway",)))
    assert await WlrootsScreen(login, ACCOUNT, Path("/run")).consents("ann", 1)
