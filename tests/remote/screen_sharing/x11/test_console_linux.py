"""Whoever sees to the console: what is made of the words of the program for it, and of its end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sra.remote.screen_sharing import screen_account
from sra.remote.screen_sharing.screen_account import ScreenAccount, ServerError
from sra.remote.screen_sharing.x11 import console_linux, vnc_linux
from sra.remote.screen_sharing.x11.console_linux import BlankedConsole, ConsoleError

PUTS_BACK = """\
import sys
print("dark", flush=True)
sys.stdin.read()
open({log!r}, "a").write("back ")
"""
IS_KILLED = """\
import os, sys
if os.path.exists({log!r}):
    open({log!r}, "a").write("back ")
else:
    open({log!r}, "a").write("killed ")
    print("dark", flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), 9)
"""


def console(monkeypatch: pytest.MonkeyPatch, program: str) -> BlankedConsole:
    monkeypatch.setattr(console_linux, "_PROGRAM", (sys.executable, "-c", program))
    monkeypatch.setattr(screen_account, "_rights", lambda _: (None, None, None))
    return BlankedConsole(ScreenAccount("_srascreen", 2**31, 2**31), vnc_linux.environment(":0", Path("/run/cookie")))


async def test_it_is_put_back_when_its_input_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blanked = console(monkeypatch, PUTS_BACK.format(log=str(tmp_path / "log")))
    await blanked.open()
    assert not (tmp_path / "log").exists()
    await blanked.close()
    await blanked.close()
    assert (tmp_path / "log").read_text() == "back "


async def test_after_one_that_was_killed_another_puts_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blanked = console(monkeypatch, IS_KILLED.format(log=str(tmp_path / "log")))
    await blanked.open()
    await blanked.close()
    assert (tmp_path / "log").read_text() == "killed back "


@pytest.mark.parametrize(
    ("word", "error", "text"),
    [
        ("no ramps", ConsoleError, "its X server has no gamma ramp for every monitor"),
        ("no devices", ConsoleError, "no XInput 2"),
        ("not kept", ConsoleError, "something stays visible"),
        ("gone", ServerError, "its X server does not answer"),
        ("", ServerError, "its X server does not answer"),
        ("x" * 100_000, ServerError, "its X server does not answer"),
    ],
)
async def test_where_it_can_not_be_blanked_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, word: str, error: type[Exception], text: str
) -> None:
    blanked = console(monkeypatch, f"print({word!r})")
    with pytest.raises(error, match=text):
        await blanked.open()
    await blanked.close()


@pytest.mark.parametrize(("word", "reason"), [("gone", "The screen went away"), ("not kept", "The console is blanked")])
async def test_why_it_is_blanked_no_longer(monkeypatch: pytest.MonkeyPatch, word: str, reason: str) -> None:
    blanked = console(monkeypatch, f"print('dark'); print({word!r})")
    await blanked.open()
    assert (await blanked.wait_ended()).startswith(reason)
    await blanked.close()
