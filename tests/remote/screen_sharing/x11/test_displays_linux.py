"""Which display is found among the X servers that run, and what is taken from its file of cookies."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from sra.remote.screen_sharing.x11 import displays_linux
from sra.remote.screen_sharing.x11.displays_linux import (
    NO_DISPLAY,
    WAYLAND,
    Display,
    NoDisplayError,
    RunningProcess,
    cookie_file,
    find,
    is_somebody_logged_in,
)
from sra.system.files import FileError

LIGHTDM = ("/usr/lib/xorg/Xorg", ":0", "-seat", "seat0", "-auth", "/var/run/lightdm/root/:0", "-nolisten", "tcp", "vt7")
GDM = ("/usr/lib/xorg/Xorg", "vt2", "-displayfd", "3", "-auth", "/run/user/1000/gdm/Xauthority", ":1", "-verbose", "3")
XVFB = ("Xvfb", ":5", "-auth", "/run/cookie", "-screen", "0", "1024x768x24")
COOKIE = bytes(range(16))


def process(argv: tuple[str, ...], uid: int = 0, pid: int = 2**22 + 1) -> RunningProcess:
    return RunningProcess(pid, uid, argv)


def entry(name: bytes, value: bytes, family: int = 256, number: bytes = b"0") -> bytes:
    """An entry of an Xauthority file."""
    counted = b"".join(struct.pack(">H", len(part)) + part for part in (b"host", number, name, value))
    return struct.pack(">H", family) + counted


def display(cookies: Path | None) -> Display:
    return Display(0, process(LIGHTDM, os.geteuid()), None if cookies is None else str(cookies))


@pytest.mark.parametrize(
    ("argv", "number", "cookies"),
    [
        (LIGHTDM, 0, "/var/run/lightdm/root/:0"),
        (XVFB, 5, "/run/cookie"),
        (("X",), 0, None),
        (("Xorg", "-auth"), 0, None),
        (("Xorg", ":12.0", ":3"), 3, None),
    ],
)
def test_the_servers_own_words_say_which_display_it_is(argv: tuple[str, ...], number: int, cookies: str | None) -> None:
    found = find([process(("/sbin/init",)), process(argv)], "")
    assert (found.number, found.cookies, found.name) == (number, cookies, f":{number}")


def test_the_display_on_the_console_is_the_one() -> None:
    other = ("Xorg", ":1", "vt8")
    assert find([process(LIGHTDM), process(other)], "tty8").number == 1
    assert find([process(LIGHTDM), process(other)], "tty7").number == 0
    assert find([process(other), process(LIGHTDM)], "tty1").number == 0
    assert find([process(other), process(LIGHTDM)], "").number == 0


@pytest.mark.parametrize("argv", [XVFB, GDM, ("/home/ann/Xorg", ":0"), ("Xephyr", ":2")])
def test_a_persons_own_server_is_not_shared_in_place_of_the_real_one(argv: tuple[str, ...]) -> None:
    with pytest.raises(NoDisplayError):
        find([process(argv, uid=1000)], "")


def test_a_persons_server_that_has_the_console_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(displays_linux, "_has_console", lambda pid: pid == 42)
    assert find([process(GDM, uid=1000, pid=42)], "tty2").number == 1
    with pytest.raises(NoDisplayError):
        find([process(GDM, uid=1000, pid=43), process(XVFB, uid=1000, pid=42)], "tty2")


def test_who_has_no_virtual_terminal_open_does_not_have_the_console() -> None:
    assert not displays_linux._has_console(os.getpid())
    assert not displays_linux._has_console(2**22 + 1)


def test_without_an_x_server_it_says_what_to_do() -> None:
    with pytest.raises(NoDisplayError) as nothing:
        find([process(("/sbin/init",))], "")
    assert str(nothing.value) == NO_DISPLAY
    with pytest.raises(NoDisplayError) as wayland:
        find([process(("/usr/bin/Xwayland", ":0")), process(("/usr/bin/gnome-shell",), 1000)], "")
    assert str(wayland.value) == WAYLAND


def test_the_cookie_alone_is_taken_for_any_name_of_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "cookies"
    path.write_bytes(entry(b"XDM-AUTHORIZATION-1", b"other") + entry(b"MIT-MAGIC-COOKIE-1", COOKIE) + b"\0\1\0\7cut")
    path.chmod(0o600)
    assert cookie_file(display(path)) == (
        b"\xff\xff" + b"\0\0" + b"\0\x010" + b"\0\x12MIT-MAGIC-COOKIE-1" + b"\0\x10" + COOKIE
    )


def test_a_server_without_cookies_needs_none() -> None:
    assert cookie_file(display(None)) == b""


@pytest.mark.parametrize(
    "content", [b"", b"root:$6$secret:19000:0:99999:7:::\n", b"\1\0" * 500, entry(b"other", COOKIE)]
)
def test_of_a_file_that_is_none_of_cookies_nothing_is_taken(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cookies"
    path.write_bytes(content)
    with pytest.raises(NoDisplayError, match="holds no cookie"):
        cookie_file(display(path))


def test_a_cookie_cut_short_anywhere_is_no_cookie(tmp_path: Path) -> None:
    whole = entry(b"MIT-MAGIC-COOKIE-1", COOKIE)
    path = tmp_path / "cookies"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(NoDisplayError):
            cookie_file(display(path))


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(entry(b"MIT-MAGIC-COOKIE-1", COOKIE))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(FileError):
            cookie_file(display(tmp_path / name))


def test_a_persons_program_on_the_display_is_somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = tmp_path / "1"
    running.mkdir()
    monkeypatch.setattr(displays_linux, "FIRST_PERSON", os.geteuid())
    for value, expected in ((":0", True), (":0.0", True), (":1", False), (":01", False)):
        (running / "environ").write_bytes(f"HOME=/home/ann\0DISPLAY={value}\0".encode())
        assert is_somebody_logged_in(display(None), tmp_path) is expected
    monkeypatch.setattr(displays_linux, "FIRST_PERSON", os.geteuid() + 1)
    (running / "environ").write_bytes(b"DISPLAY=:0\0")
    assert not is_somebody_logged_in(display(None), tmp_path)


def test_this_process_is_among_those_that_run() -> None:
    ours = next(each for each in displays_linux.processes() if each.pid == os.getpid())
    assert (ours.uid, ours.name.startswith("python")) == (os.geteuid(), True)


def test_the_console_is_read_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "active").write_text("tty7\n")
    assert displays_linux.console(tmp_path / "active") == "tty7"
    assert displays_linux.console(tmp_path / "nothing") == ""
