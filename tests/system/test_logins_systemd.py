"""The login's files where systemd runs: units that keep them true, and no trace of them later."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.processes import wait_until
from lab.systemd import SystemdMachine, differences, systemd_machine
from lab.systemd_root import debian_root
from tests.remote.accounts.issuing import Authority
from tests.system.installed import DEPENDENCIES, DPKG, LOOKING, NOISE, PACKAGE, Admin, give_license, install

pytestmark = pytest.mark.timeout(400)
"""The first of these tests makes the fresh machine, which is then kept."""

MAPPING = "/etc/pam_pkcs11/sra/mapping"
PASSWORD = "a password of ann's"


@contextmanager
def fresh_machine() -> Iterator[SystemdMachine]:
    """A machine that could log people in with cards, without the package."""
    with systemd_machine(debian_root([*DEPENDENCIES, *LOOKING, "libpam-pkcs11", "pamtester"])) as machine:
        yield machine


@pytest.fixture(scope="module")
def activated() -> Iterator[SystemdMachine]:
    with fresh_machine() as machine:
        install(machine)
        machine.run(["secure_remote_access.sh", "-a", "-g"])
        give_license(machine)
        yield machine


@pytest.fixture
def machine(activated: SystemdMachine) -> Iterator[SystemdMachine]:
    """The same machine for every test that needs it activated; no login asks for the card at first."""
    yield activated
    activated.run(["sra", "pam", "disable"])
    activated.run(["systemctl", "reset-failed"])


def mapped(machine: SystemdMachine, account: str) -> bool:
    return f"-> {account}\n" in machine.run(["cat", MAPPING]).stdout


def finding(machine: SystemdMachine, check: str) -> dict[str, object]:
    """What the doctor says of this."""
    said = json.loads(machine.run(["sra", "doctor", "--json"], check=False).stdout)
    return next({key: each[key] for key in ("ok", "command", "text")} for each in said if each["check"] == check)


def watch(machine: SystemdMachine, user: str) -> None:
    """Have a session, of which this is all, watch for its card."""
    machine.run(["systemd-run", f"--uid={user}", f"--unit=watch-{user}", "sra", "pam", "watch-removal"])


def watched(machine: SystemdMachine, user: str) -> str:
    """What that has logged."""
    return machine.run(["journalctl", "--no-pager", f"--unit=watch-{user}"]).stdout


def test_who_may_not_use_the_readers_is_told_so_wherever_it_matters(machine: SystemdMachine, tmp_path: Path) -> None:
    machine.run(["useradd", "--create-home", "bob"])
    machine.write("/root/bob.pem", Admin(tmp_path).make_card("bob"))
    said = "bob is not in the group sra-card"
    pairing = ["sra", "pair", "bob", "--certificate", "/root/bob.pem"]
    assert said in machine.run(pairing).stderr
    assert said in machine.run(["sra", "pam", "enable", "su"]).stderr
    found = finding(machine, "removal")
    assert not found["ok"]
    watch(machine, "bob")
    wait_until(lambda: "no card can be watched" in watched(machine, "bob"), "the watch's complaint", 20)
    assert said in watched(machine, "bob")
    machine.run(str(found["command"]).split())
    assert said not in machine.run(pairing).stderr
    assert finding(machine, "removal")["ok"]


def test_what_makes_the_logins_files_is_hardened(machine: SystemdMachine) -> None:
    """2.1 is what root's work and the directory on the network need; the unit says it line by line."""
    machine.run(["sra", "pam", "enable", "login"])
    said = machine.run(["systemd-analyze", "security", "--no-pager", "sra-logins.service"], check=False).stdout
    assert float(said.rpartition("Overall exposure level for sra-logins.service: ")[2].split()[0]) <= 2.2


def test_a_card_paired_by_hash_is_known_when_it_came_in_vouched_for(machine: SystemdMachine, tmp_path: Path) -> None:
    before = machine.tree()
    machine.run(["sra", "pam", "enable", "su"])
    assert (
        machine.run(["systemctl", "is-active", "sra-logins.path", "sra-logins.timer"]).stdout.split() == ["active"] * 2
    )
    admin = Admin(tmp_path)
    root, key = Authority().own.write(tmp_path, "root")
    machine.write("/etc/sra/trust/root.pem", root.read_text())
    machine.write("/root/ann.pem", admin.make_card("ann", "--ca-cert", str(root), "--ca-key", str(key)))
    machine.run(["useradd", "--create-home", "--groups", "sra-card", "ann"])
    whois = machine.run(["sra", "whois", "/root/ann.pem"], check=False).stdout
    (digest,) = [word for word in whois.split() if word.startswith("sha256:")]
    machine.run(["sra", "pair", "ann", "--hash", digest])
    assert not mapped(machine, "ann")
    connection = admin.connect(machine, "ann")
    assert mapped(machine, "ann")
    said = machine.run(["pamtester", "-v", "su", "ann", "authenticate"], user="ann", check=False)
    assert "successfully authenticated" in said.stdout + said.stderr
    assert finding(machine, "logins") == {"ok": True, "command": "", "text": "su: card or password"}
    machine.run(["systemctl", "stop", "sra-logins.path"])
    found = finding(machine, "logins")
    assert (found["ok"], found["command"]) == (False, "sra pam enable su")
    machine.run(str(found["command"]).split())
    assert finding(machine, "logins")["ok"]
    machine.write("/etc/sra/srad.toml", '[login]\non_removal = "log-out"\n')
    watch(machine, "ann")
    wait_until(lambda: "the card of ann is in Secure Remote Access 00" in watched(machine, "ann"), "the watch", 20)
    connection.terminate()
    connection.wait()
    wait_until(lambda: "the card is out: log-out" in watched(machine, "ann"), "the watch to see it go", 20)
    is_over = ["systemctl", "is-active", "watch-ann"]
    wait_until(lambda: machine.run(is_over, check=False).returncode != 0, "the end of the session", 20)
    resting = ["systemctl", "is-active", "sra-logins.service"]  # a change in its last moment would wait for the timer
    wait_until(lambda: machine.run(resting, check=False).stdout.strip() == "inactive", "the end of the last look", 20)
    machine.run(["sh", "-c", "echo >/etc/sra/pairings.toml"])  # by hand, without “sra unpair”
    wait_until(lambda: not mapped(machine, "ann"), "the map without ann", 10)
    assert machine.run(["systemctl", "--failed", "--plain", "--no-legend"]).stdout == ""
    machine.run(["sra", "pam", "disable"])
    ours = [*NOISE, "/etc/sra", "/var/lib/sra", "/var/log/sra", "/home/ann", "/root", "/var/mail"]
    accounts = ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"]
    copies = [f"{name}-" for name in accounts]
    assert differences(before, machine.tree(), [*ours, *accounts, *copies]) == []


def opens(machine: SystemdMachine, account: str, password: str) -> bool:
    """Whether ``su`` takes the password of an account, from somebody who is not root."""
    command = ["pamtester", "su", account, "authenticate"]
    return machine.run(command, input=f"{password}\n", user="ann", check=False).returncode == 0


def edit_su(machine: SystemdMachine) -> None:
    """By hand, in the lines of ours."""
    stack = machine.path("/etc/pam.d/su").read_text()
    machine.write("/etc/pam.d/su", stack.replace("default=die] pam_pkcs11.so", "default=bad] pam_pkcs11.so"))


@pytest.fixture
def fresh() -> Iterator[SystemdMachine]:
    with fresh_machine() as machine:
        yield machine


def test_with_the_product_its_logins_go_too_and_passwords_are_taken_again(
    fresh: SystemdMachine, tmp_path: Path
) -> None:
    """Card-only logins, once activated, once by the package alone; one is edited by hand before that."""
    machine = fresh
    machine.run(["useradd", "--create-home", "ann"])
    machine.run(["chpasswd"], input=f"ann:{PASSWORD}\n")
    assert opens(machine, "ann", PASSWORD)
    before = machine.tree()

    install(machine)
    machine.run(["secure_remote_access.sh", "-a", "-g"])
    machine.write("/root/root.pem", Admin(tmp_path).make_card("root"))
    machine.run(["sra", "pair", "root", "--certificate", "/root/root.pem"])
    machine.run(["sra", "pam", "enable", "login"])
    machine.run(["sra", "pam", "enable", "--card-only", "su"])
    assert not opens(machine, "ann", PASSWORD)
    machine.run(["secure_remote_access.sh", "-d"])
    assert opens(machine, "ann", PASSWORD)
    assert machine.run(["systemctl", "list-unit-files", "--no-legend", "sra*"], check=False).stdout == ""
    assert machine.run(["sra", "pam", "status"]).stdout.count(" off ") == 2

    machine.run(["sra", "pam", "enable", "--card-only", "su"])
    edit_su(machine)
    assert not opens(machine, "ann", PASSWORD)
    machine.run(["dpkg", "--remove", PACKAGE])
    assert opens(machine, "ann", PASSWORD)
    assert "default=bad" in machine.path("/var/lib/sra-login/edited/pam.d/su").read_text()
    machine.run(["dpkg", "--purge", PACKAGE])
    assert differences(before, machine.tree(), [*NOISE, *DPKG, "/root"]) == []
    assert machine.run(["systemctl", "--failed", "--plain", "--no-legend"]).stdout == ""
