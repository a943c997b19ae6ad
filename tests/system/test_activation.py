"""Activation on a fresh Debian with systemd: the units, who may reach what, a card, a restart, and no trace later."""

import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

from lab.processes import wait_until
from lab.systemd import SystemdMachine, differences
from sra.transport import tls_identity
from tests.system.installed import (
    NOISE,
    Admin,
    cards_in_readers,
    fingerprint,
    give_license,
    installed_machine,
)

pytestmark = pytest.mark.timeout(400)
"""The first of these tests makes the fresh machine, which is then kept."""

UNITS = ("sra.target", "sra-runtime.service", "srad.service", "sra-card@0.service", "sra-card@1.service")
SERVICES = ("srad.service", "sra-card@0.service", "sra-card@1.service")
EXPOSURE = {"srad": 1.5, "sra-card@0": 1.5, "sra-runtime": 1.5, "sra-screen": 2.5}
"""The worst that systemd-analyze may say, from 0 (safe) to 10; the units say what is left, and why."""
SCRIPT = "secure_remote_access.sh"


@pytest.fixture(scope="module")
def activated() -> Iterator[SystemdMachine]:
    """A machine that was activated, for the tests that only look."""
    with installed_machine() as machine:
        machine.run([SCRIPT, "-a", "-g", "-s"])
        yield machine


@pytest.fixture(scope="module")
def installed() -> Iterator[SystemdMachine]:
    """A machine with the package, which is not activated."""
    with installed_machine() as machine:
        yield machine


@pytest.fixture
def machine(installed: SystemdMachine) -> Iterator[SystemdMachine]:
    """The same machine for every test that activates, without what ``sra deactivate`` leaves on purpose."""
    yield installed
    installed.run(["sra", "deactivate"])
    installed.run(["rm", "-rf", "/var/log/sra"])


def states(machine: SystemdMachine) -> list[str]:
    return machine.run(["systemctl", "is-active", *UNITS], check=False).stdout.split()


def wait_for_cards(machine: SystemdMachine, *expected: str, user: str = "root") -> None:
    wait_until(lambda: cards_in_readers(machine, user) == list(expected), f"cards: {expected}", 10)


def add_person(machine: SystemdMachine, name: str, certificate: str) -> None:
    """An account, paired with a card."""
    machine.run(["useradd", "--create-home", name])
    machine.write(f"/root/{name}.pem", certificate)
    machine.run(["sra", "pair", name, "--certificate", f"/root/{name}.pem"])


# What is there after it


def test_everything_runs_and_nothing_failed(activated: SystemdMachine) -> None:
    assert states(activated) == ["active"] * len(UNITS)
    assert activated.run(["systemctl", "--failed", "--plain", "--no-legend"]).stdout == ""
    assert activated.run(["systemctl", "is-enabled", "sra.target"]).stdout == "enabled\n"


def test_both_ports_answer_and_4117_to_this_machine_only(activated: SystemdMachine) -> None:
    for port in (4116, 4117):
        said = activated.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}"], check=False).stdout
        assert "TLSv1.3" in said
    listening = activated.run(["ss", "--no-header", "--listening", "--tcp", "--numeric"]).stdout
    addresses = {line.split()[3] for line in listening.splitlines()}
    assert addresses == {"0.0.0.0:4116", "[::]:4116", "127.0.0.1:4117"}


def test_this_machine_trusts_its_own_certificate(activated: SystemdMachine) -> None:
    command = ["openssl", "s_client", "-connect", "127.0.0.1:4116", "-verify_return_error", "-verify_hostname"]
    assert "Verify return code: 0 (ok)" in activated.run([*command, "localhost"], check=False).stdout
    assert "Verify return code: 0 (ok)" not in activated.run([*command, "elsewhere"], check=False).stdout


@pytest.mark.parametrize("service", EXPOSURE)
def test_the_services_are_hardened(activated: SystemdMachine, service: str) -> None:
    said = activated.run(["systemd-analyze", "security", "--no-pager", f"{service}.service"], check=False).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found is not None
    assert float(found[1]) <= EXPOSURE[service]


@pytest.mark.parametrize(("service", "user"), [("srad.service", "_sra"), ("sra-card@0.service", "_sra-card")])
def test_the_services_are_users_of_their_own_without_capabilities(
    activated: SystemdMachine, service: str, user: str
) -> None:
    pid = activated.run(["systemctl", "show", "--value", "--property=MainPID", service]).stdout.strip()
    status = activated.run(["cat", f"/proc/{pid}/status"]).stdout
    number = activated.run(["id", "--user", user]).stdout.strip()
    assert re.search(rf"^Uid:\s+{number}\s+{number}\s+{number}\s+{number}$", status, re.MULTILINE)
    for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        assert re.search(rf"^{name}:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)


def test_only_the_two_services_read_the_secret_and_only_the_daemon_the_key(activated: SystemdMachine) -> None:
    def readers(path: str) -> list[str]:
        users = ("root", "_sra", "_sra-card", "_srascreen", "nobody")
        return [user for user in users if activated.run(["cat", path], user=user, check=False).returncode == 0]

    secret, key = "/run/sra/local-secret", "/etc/sra/identity/key.pem"
    assert readers(secret) == ["root", "_sra", "_sra-card"]
    assert readers(key) == ["root", "_sra"]
    assert activated.path(secret).stat().st_size == 32
    for path, user in ((key, "_sra"), ("/var/lib/sra-activation/journal.json", "_sra"), ("/run/sra/x", "_sra-card")):
        assert activated.run(["touch", path], user=user, check=False).returncode != 0


def test_the_secret_is_another_one_after_each_start(activated: SystemdMachine) -> None:
    before = activated.path("/run/sra/local-secret").read_bytes()
    activated.run(["systemctl", "restart", "sra.target"])
    assert activated.path("/run/sra/local-secret").read_bytes() != before
    assert states(activated) == ["active"] * len(UNITS)


@pytest.mark.parametrize("name", ["_sra", "_sra-card", "_srascreen"])
def test_the_users_can_not_log_in(activated: SystemdMachine, name: str) -> None:
    account = activated.run(["getent", "passwd", name]).stdout.strip().split(":")
    assert (account[5], account[6]) == ("/nonexistent", "/usr/sbin/nologin")
    assert int(account[2]) < 1000
    assert activated.run(["passwd", "--status", name]).stdout.split()[1] == "L"


def test_the_readers_are_root_s_and_the_group_s(activated: SystemdMachine) -> None:
    for name, groups in (("insider", "sra-card"), ("outsider", "users")):
        activated.run(["useradd", "--groups", groups, name])
    assert cards_in_readers(activated) == ["No", "No"]
    assert cards_in_readers(activated, "insider") == ["No", "No"]
    assert cards_in_readers(activated, "outsider") == []


def test_the_journal_has_the_programs_by_their_names(activated: SystemdMachine) -> None:
    for name, said in (("srad", "listening on port 4116"), ("sra-card", "attached to srad")):
        assert said in activated.run(["journalctl", "--no-pager", f"--identifier={name}"]).stdout


def test_a_program_that_is_killed_is_back_at_once(activated: SystemdMachine) -> None:
    for service in SERVICES:
        activated.run(["systemctl", "kill", "--signal=SIGKILL", service])
    wait_until(lambda: states(activated) == ["active"] * len(UNITS), "the services to come back", 10)


SLOW_PROGRAM = """\
#!/bin/sh
trap ": >/run/was-told-to-end" TERM
: >/run/has-begun
sleep 2 &
wait
exec {program}.real "$@"
"""


def test_a_helper_that_is_stopped_ends_its_programs_itself(activated: SystemdMachine) -> None:
    program = "/usr/sbin/chpasswd"
    activated.run(["mv", program, f"{program}.real"])
    activated.write(program, SLOW_PROGRAM.format(program=program), 0o755)
    activated.run(["systemctl", "restart", "sra-screen.service"])
    wait_until(lambda: activated.path("/run/has-begun").exists(), "the password to be set", 10)
    activated.run(["systemctl", "stop", "sra-screen.service"])
    result = activated.run(["systemctl", "show", "--value", "--property=Result", "sra-screen.service"]).stdout
    activated.run(["mv", f"{program}.real", program])
    activated.run(["systemctl", "start", "sra-screen.service"])
    assert result == "success\n"
    assert not activated.path("/run/was-told-to-end").exists()


def test_again_changes_nothing(activated: SystemdMachine) -> None:
    shown = fingerprint(activated)
    again = activated.run([SCRIPT, "-gsa"])
    assert "nothing had to be changed" in again.stderr
    assert fingerprint(activated) == shown


# A card, a restart, and the end


def test_a_card_is_seen_through_pcscd_also_after_a_restart_and_nothing_is_left_in_the_end(
    machine: SystemdMachine, tmp_path: Path
) -> None:
    admin = Admin(tmp_path)
    certificate = admin.make_card("ann")
    add_person(machine, "ann", certificate)
    give_license(machine)
    before = machine.tree()
    machine.run([SCRIPT, "-a", "-g", "-s"])
    machine.run(["usermod", "--append", "--groups", "sra-card", "ann"])
    shown = fingerprint(machine)

    inserted = admin.connect(machine, "ann")
    wait_for_cards(machine, "Yes", "No", user="ann")
    listed = machine.run(["pkcs11-tool", "--list-objects", "--type", "cert"], user="ann").stdout
    assert "Certificate for PIV Authentication" in listed
    inserted.terminate()
    inserted.wait()
    wait_for_cards(machine, "No", "No", user="ann")

    machine.reboot()
    assert states(machine) == ["active"] * len(UNITS)
    assert fingerprint(machine) == shown
    inserted = admin.connect(machine, "ann")
    wait_for_cards(machine, "Yes", "No", user="ann")
    inserted.kill()

    told = machine.run([SCRIPT, "-d"]).stderr
    assert "/var/log/sra stays" in told
    assert "in it were: ann" in told
    audit = machine.path("/var/log/sra/audit.jsonl")
    assert (audit.stat().st_uid, audit.parent.stat().st_uid) == (0, 0)
    assert differences(before, machine.tree(), (*NOISE, "/var/log/sra")) == []
    assert states(machine) == ["inactive"] * len(UNITS)
    assert machine.run(["stat", "--format=%a", "/run/pcscd/pcscd.comm"]).stdout == "666\n"
    assert cards_in_readers(machine, "ann") == []


# Interruptions


KILLED = """\
import os, signal, sys
from sra.cli.main import main
from sra.remote.activation import steps, steps_linux, undo

number, when = int(sys.argv[1]), sys.argv[2]
count = 0

def wrap(change):
    def changed(*arguments):
        global count
        count += 1
        if (count, when) == (number, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        found = change(*arguments)
        if (count, when) == (number, "after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    return changed

def kinds(of):
    yield of
    for each in of.__subclasses__():
        yield from kinds(each)

for kind in kinds(steps.Step):
    if "do" in vars(kind):
        kind.do = wrap(kind.do)
for kind, take_back in undo._UNDO.items():
    undo._UNDO[kind] = wrap(take_back)
sys.argv = ["sra", *sys.argv[3:]]
main()
"""
"""Runs a command of the product, killed right before or after its change of this number."""


def kill_at(machine: SystemdMachine, number: int, when: str, *command: str) -> None:
    """Run the command until it is killed there."""
    python = "/usr/lib/secure-remote-access/bin/python3"
    ended = machine.run([python, "-I", "-c", KILLED, str(number), when, *command], check=False)
    assert ended.returncode == -signal.SIGKILL, f"{number}: {ended.stderr}"


def test_an_activation_that_is_killed_at_a_step_is_mended_or_taken_back(machine: SystemdMachine) -> None:
    before = machine.tree()
    for number, when in ((2, "after"), (9, "before"), (17, "after"), (26, "before")):
        kill_at(machine, number, when, "activate", "-g", "-s")
        if when == "after":
            machine.run(["sra", "activate", "-g", "-s"])
            assert states(machine) == ["active"] * len(UNITS), number
        machine.run(["sra", "deactivate"])
        assert differences(before, machine.tree(), NOISE) == [], number


def test_a_deactivation_that_is_killed_at_a_step_is_finished_by_the_next(machine: SystemdMachine) -> None:
    before = machine.tree()
    machine.run(["sra", "activate", "-g", "-s"])
    for when in ("after", "before", "after"):
        kill_at(machine, 5, when, "deactivate")
    machine.run(["sra", "deactivate"])
    assert differences(before, machine.tree(), NOISE) == []


# Identities


def test_an_identity_is_chosen_from_a_pkcs12_file_by_its_sha1(machine: SystemdMachine) -> None:
    made = tls_identity.make(["remote.example.com"], datetime.now(UTC))
    key = serialization.load_pem_private_key(made.key, None)
    certificate = x509.load_pem_x509_certificate(made.certificates)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    how = serialization.BestAvailableEncryption(b"correct horse")
    data = pkcs12.serialize_key_and_certificates(None, key, certificate, None, how)
    machine.write("/etc/sra/identities/fleet.p12", data, 0o600)
    before = machine.tree()
    sha1 = certificate.fingerprint(hashes.SHA1()).hex(":")  # noqa: S303
    wrong = machine.run(["sra", "activate", "-c", sha1, "--password-fd", "0"], input="wrong\n", check=False)
    assert "password is wrong" in wrong.stderr
    assert differences(before, machine.tree(), NOISE) == []
    machine.run(["sra", "activate", "-c", sha1, "--password-fd", "0"], input="correct horse\n")
    served = machine.run(["openssl", "s_client", "-connect", "127.0.0.1:4116"], check=False).stdout
    assert made.certificates.decode() in served
    machine.run(["sra", "deactivate"])
    assert differences(before, machine.tree(), NOISE) == []


def test_a_renewed_identity_is_served_after_the_next_activation(machine: SystemdMachine) -> None:
    machine.run(["sra", "activate", "-g"])
    before = fingerprint(machine)
    machine.run(["sra", "identity", "generate", "--renew"])
    machine.run(["sra", "activate"])
    assert fingerprint(machine) != before
    said = machine.run(
        ["openssl", "s_client", "-connect", "127.0.0.1:4116", "-verify_return_error"], check=False
    ).stdout
    assert "Verify return code: 0 (ok)" in said
    assert machine.path("/etc/sra/identity/certificate.pem").read_text() in said
