"""What Xvfb is told for what LightDM tells Xorg; and Xvfb itself, started so."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sra.paths import Paths
from sra.programs.sra_virtual_screen import for_xvfb, size
from sra.remote.screen_sharing.x11 import displays_linux
from sra.remote.screen_sharing.x11.displays_linux import processes

OURS = ["-nolisten", "tcp", "-screen", "0", "1280x800x24"]


@pytest.mark.parametrize(
    ("words", "passed_on"),
    [
        (":0 -seat seat0 -auth /run/lightdm/root/:0 -nolisten tcp vt7 -novtswitch", ":0 -auth /run/lightdm/root/:0"),
        (":1 -config /etc/x.conf -layout two -auth /a -listen tcp vt12 -novtswitch", ":1 -auth /a"),
        (":0 -auth /a -nolisten tcp -background none", ":0 -auth /a"),
        (":0 -sharevts -dpi 120 -seat", ":0 -dpi 120"),
        ("", ""),
    ],
)
def test_what_xvfb_does_not_know_is_left_out_and_nothing_listens(words: str, passed_on: str) -> None:
    assert for_xvfb(words.split(), "1280x800") == [*passed_on.split(), *OURS]


def set_size(root: Path, value: str) -> Paths:
    paths = Paths(root)
    paths.etc.mkdir(parents=True)
    paths.config.write_text(f"[screen]\nvirtual_size = {value}\n")
    return paths


def test_the_size_is_the_owner_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert size(Paths(tmp_path)) == "1920x1080"
    assert size(set_size(tmp_path, '"2560x1440"')) == "2560x1440"
    assert capsys.readouterr().err == ""


def test_settings_that_can_not_be_read_leave_a_screen_on_which_to_mend_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert size(set_size(tmp_path, '"huge"')) == "1920x1080"
    assert "virtual_size" in capsys.readouterr().err


def test_it_becomes_an_xvfb_that_can_be_shared_and_listens_nowhere() -> None:
    options = ["-seat", "seat0", "-nolisten", "tcp", "-listen", "tcp", "vt7", "-novtswitch"]
    command = [
        sys.executable,
        "-c",
        "from sra.programs.sra_virtual_screen import main; main()",
        "-displayfd",
        "1",
        *options,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            number = int(server.stdout.readline())
            (found,) = [each for each in displays_linux.displays(list(processes())) if each.server.pid == server.pid]
            assert (found.server.name, found.server.argv[-2:]) == ("Xvfb", ("0", "1920x1080x24"))
            assert Path(f"/tmp/.X11-unix/X{number}").is_socket()
            assert not has_tcp_port(server.pid)
            assert not ignored_signals(server.pid) & 1 << signal.SIGXFSZ - 1
        finally:
            server.terminate()


def has_tcp_port(pid: int) -> bool:
    """Whether a TCP socket is among what the process has open."""
    opened = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
    tables = [Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    return any(f"socket:[{line.split()[9]}]" in opened for table in tables for line in table)


def ignored_signals(pid: int) -> int:
    """A bit for each, from the first on (proc_pid_status(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
