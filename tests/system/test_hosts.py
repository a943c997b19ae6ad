"""The two machines of the system tests are really apart, really joined, and really gone afterwards."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.hosts import CHECKOUT, Host, two_hosts
from lab.processes import LabError, Process, children, wait_until

PORT = 7000

SAY = """
import socket, sys
with socket.create_server(("::", int(sys.argv[2])), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    print("listening")
    while True:
        with server.accept()[0] as connection:
            connection.sendall(sys.argv[1].encode())
"""

HEAR = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1) as connection:
    print(connection.makefile().read(), end="")
"""

ABANDONED = """
import time
from lab.hosts import two_hosts
with two_hosts() as (admin, remote):
    servers = [host.start(["sleep", "1000"]) for host in (admin, remote)]
    print(admin.first_process, remote.first_process, *(server.pid for server in servers), flush=True)
    time.sleep(1000)
"""


def say(host: Host, text: str) -> Process:
    """A server on the host that says ``text`` to whoever connects."""
    server = host.start([sys.executable, "-c", SAY, text, str(PORT)])
    server.wait_for("listening")
    return server


def hear(host: Host, address: str) -> str:
    return host.run([sys.executable, "-c", HEAR, address, str(PORT)]).stdout


def network_of_the_machine() -> str:
    return subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True, check=True).stdout


def test_they_reach_each_other_by_address_and_by_name(admin: Host, remote: Host) -> None:
    say(remote, "from the remote")
    assert {hear(admin, address) for address in (remote.address, remote.address6, "remote")} == {"from the remote"}


def test_the_cable_can_be_cut_and_mended(admin: Host, remote: Host) -> None:
    say(remote, "hello")
    admin.cable(up=False)
    for address in (remote.address, remote.address6):
        with pytest.raises(LabError):
            hear(admin, address)
    admin.cable(up=True)
    assert [hear(admin, remote.address), hear(admin, remote.address6)] == ["hello", "hello"]


def test_each_has_its_own_name_network_and_loopback(admin: Host, remote: Host) -> None:
    assert [host.run(["hostname"]).stdout for host in (admin, remote)] == ["admin\n", "remote\n"]
    say(remote, "hello")
    with pytest.raises(LabError, match="refused"):
        hear(admin, "127.0.0.1")


def test_files_and_accounts_change_on_one_host_only(admin: Host, remote: Host) -> None:
    remote.add_account("alice-of-the-lab", "secret")
    remote.write("/etc/pam.d/of-the-lab", "auth required pam_deny.so\n", mode=0o600)
    assert remote.read("/etc/pam.d/of-the-lab") == "auth required pam_deny.so\n"
    assert remote.run(["id", "-un"], user="alice-of-the-lab").stdout == "alice-of-the-lab\n"
    assert "alice-of-the-lab" not in admin.read("/etc/passwd")
    assert "alice-of-the-lab" not in Path("/etc/passwd").read_text()
    assert not Path("/etc/pam.d/of-the-lab").exists()
    assert not Path("/home/alice-of-the-lab").exists()


@pytest.mark.parametrize("folder", ["etc", "home", "opt", "root", "run", "srv", "tmp", "usr", "var", "dev/shm"])
def test_nothing_written_in_a_folder_reaches_the_machine(remote: Host, folder: str) -> None:
    name = f"/{folder}/written-on-{remote.first_process}"
    before = Path(f"/{folder}").stat().st_mode
    remote.write(name, "here")
    assert not Path(name).exists()
    assert int(remote.run(["stat", "--format=%f", f"/{folder}"]).stdout, 16) == before


def test_the_checkout_and_shared_folders_are_the_machines_own(remote: Host, tmp_path: Path) -> None:
    assert remote.run(["ls", CHECKOUT]).stdout.split() == sorted(remote.run(["ls", CHECKOUT]).stdout.split())
    (tmp_path / "from-the-machine").write_text("seen")
    remote.write(tmp_path / "from-the-host", "seen too")
    assert remote.read(tmp_path / "from-the-machine") == "seen"
    assert (tmp_path / "from-the-host").read_text() == "seen too"


def test_a_program_gets_input_environment_folder_and_user(remote: Host, tmp_path: Path) -> None:
    remote.add_account("bob", "secret")
    tell = remote.run(
        ["sh", "-c", 'cat; echo "$WORD $HOME $(pwd) $(id -gn)"; echo trouble >&2; exit 3'],
        input="given\n",
        user="bob",
        env={"WORD": "word"},
        folder="/usr",
        check=False,
    )
    assert (tell.returncode, tell.stdout, tell.stderr) == (3, "given\nword /home/bob /usr bob\n", "trouble\n")


def test_a_program_that_fails_or_hangs_is_an_error(remote: Host) -> None:
    with pytest.raises(LabError, match="ended with 3:\ntrouble"):
        remote.run(["sh", "-c", "echo trouble; exit 3"])
    with pytest.raises(LabError, match="still runs"):
        remote.run(["sleep", "1000"], timeout=0.1)
    wait_until(lambda: "sleep" not in remote.run(["ps", "-e"]).stdout, "the hanging program's end", 5)


def test_a_started_program_can_be_followed_and_ended(remote: Host, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = remote.start(["sh", "-c", "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.01; done"], log=log)
    program.wait_for("up")
    assert program.is_running
    program.terminate()
    assert program.wait() == 4
    assert program.output == log.read_text() == "up\nbye\n"


def test_a_killed_program_takes_its_children_along(remote: Host) -> None:
    program = remote.start(["sh", "-c", "sleep 1000 & sleep 1000 & echo up; wait"])
    program.wait_for("up")
    pids = children(program.pid)
    program.kill()
    assert len(pids) == 2
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the children's end", 5)


def test_a_program_that_ends_early_is_not_waited_for(remote: Host) -> None:
    with pytest.raises(LabError, match="ended without 'ready':\nno"):
        remote.start(["echo", "no"]).wait_for("ready", timeout=60)


def test_orphans_are_buried(remote: Host) -> None:
    remote.run(["sh", "-c", "(sleep 0.05 &) ; exit 0"])
    wait_until(lambda: "sleep" not in remote.run(["ps", "-e"]).stdout, "the orphan's end", 5)
    assert "defunct" not in remote.run(["ps", "-e"]).stdout


def test_they_are_made_at_once_and_leave_nothing() -> None:
    network, mounts = network_of_the_machine(), Path("/proc/self/mountinfo").read_text()
    begin = time.monotonic()
    with two_hosts() as (admin, remote):
        took = time.monotonic() - begin
        programs = [host.start(["sleep", "1000"]) for host in (admin, remote)]
        pids = [admin.first_process, remote.first_process, *(program.pid for program in programs)]
        assert network_of_the_machine() == network
    assert took < 10
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert (network_of_the_machine(), Path("/proc/self/mountinfo").read_text()) == (network, mounts)


def test_they_leave_nothing_when_their_maker_is_killed() -> None:
    network, mounts = network_of_the_machine(), Path("/proc/self/mountinfo").read_text()
    with subprocess.Popen([sys.executable, "-c", ABANDONED], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as maker:
        assert maker.stdout is not None
        pids = maker.stdout.readline().split()
        assert len(pids) == 4
        maker.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the end of all processes", 5)
    assert (network_of_the_machine(), Path("/proc/self/mountinfo").read_text()) == (network, mounts)


def test_two_pairs_do_not_notice_each_other(admin: Host, remote: Host) -> None:
    with two_hosts() as (other_admin, other_remote):
        say(remote, "one")
        say(other_remote, "other")
        assert (hear(admin, remote.address), hear(other_admin, other_remote.address)) == ("one", "other")
    assert hear(admin, remote.address) == "one"


def test_without_root_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="need root"), two_hosts():
        pass
