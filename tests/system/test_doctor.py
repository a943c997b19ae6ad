"""``sra doctor`` finds nothing wrong with a remote that is in order, and names whatever is broken, with its remedy."""

import json
import re
from collections.abc import Iterator

import pytest

from lab import product
from lab.hosts import Host, two_hosts
from lab.licenses import DAY, a_license
from lab.processes import Process, wait_until
from lab.product import CARDS, SRA, Service, World
from lab.systemd import SystemdMachine
from tests.system.installed import Admin, give_license, installed_machine

Finding = dict[str, str | bool]
KEEP = f"""\
mkdir -p /root/.config /etc/sra /var/lib/sra {CARDS}
tar -C / -cf /root/kept.tar root/.config etc/sra var/lib/sra {CARDS.removeprefix("/")}
"""
BRING_BACK = f"""\
umount /usr/lib/*/opensc-pkcs11.so 2>/dev/null
rm -rf /root/.config {CARDS} /etc/sra/srad.toml /var/lib/sra/latest-time
tar -C / -xpf /root/kept.tar
"""


class Patient:
    """Two machines that are broken and mended again."""

    def __init__(self, admin: Host, remote: Host, pcscd: Process, service: Service) -> None:
        self.admin, self.remote, self.pcscd, self.service = admin, remote, pcscd, service

    @property
    def world(self) -> World:
        return World(self.admin, self.remote, self.service)

    def keep(self) -> None:
        """Keep the files as they are now, for ``mend``."""
        for host in (self.admin, self.remote):
            host.run(["sh", "-c", KEEP])

    def mend(self) -> None:
        """Bring the files back, and start what doesn't run."""
        self.admin.cable(up=True)
        for host in (self.admin, self.remote):
            host.run(["sh", "-c", BRING_BACK])
        if not self.pcscd.is_running:
            self.pcscd = self.remote.pcscd()
        if not self.service.process.is_running:
            self.service = product.start_remote(self.remote)


@pytest.fixture(scope="module")
def healthy() -> Iterator[Patient]:
    with two_hosts() as (admin, remote):
        made = Patient(admin, remote, remote.pcscd(), product.start_remote(remote))
        made.world.add_person("ann")
        made.keep()
        yield made


@pytest.fixture
def patient(healthy: Patient) -> Iterator[Patient]:
    """The same machines for every test, in order again after each."""
    yield healthy
    healthy.mend()


def doctor(host: Host, *words: str) -> dict[str, Finding]:
    """What it finds, by check; its exit status has to agree."""
    options = ["--cards-dir", CARDS, "--json"]
    done = host.run([SRA, "doctor", *words, *options], check=False)
    findings = {str(finding["check"]): finding for finding in json.loads(done.stdout)}
    assert done.returncode == (0 if all(finding["ok"] for finding in findings.values()) else 1)
    return findings


def wrong(findings: dict[str, Finding]) -> dict[str, str]:
    """The commands for what is wrong, by check."""
    return {name: str(finding["command"]) for name, finding in findings.items() if not finding["ok"]}


def test_a_healthy_remote_is_all_right_on_both_sides(patient: Patient) -> None:
    remote, admin = patient.remote, patient.admin
    found = doctor(remote, "--certificate", "/root/ann.pem")
    assert wrong(found) == {}
    assert list(found) == [
        "settings", "identity", "admins' port", "local port", "virtual cards", "license", "pairings", "policy", "card",
        "pcscd", "readers", "OpenSC", "clock", "audit log", "permissions", "versions",
    ]  # fmt: skip
    assert found["card"]["text"] == "the card whose certificate says “ann” opens the account ann"
    assert "pcscd 1" in str(found["versions"]["text"])
    found = doctor(admin, "remote")
    assert wrong(found) == {}
    assert list(found) == [
        "settings",
        "cards",
        "remotes",
        "versions",
        "reached",
        "TLS",
        "fingerprint",
        "protocol",
        "license",
    ]
    assert patient.service.fingerprint in str(found["fingerprint"]["text"])


def test_a_card_that_is_inserted_is_looked_at_by_itself(patient: Patient) -> None:
    assert "card" not in doctor(patient.remote)
    with patient.world.inserted("ann"):
        found = doctor(patient.remote)
        assert found["card"]["text"] == "the card whose certificate says “ann” opens the account ann"
        assert str(found["OpenSC"]["text"]).endswith("sees 2 virtual readers, 1 with a card")
        stands = json.loads(patient.remote.run([SRA, "status", "--json"]).stdout)
    assert (stands["running"], stands["connections"], stands["virtual_cards"]) == (True, 1, 2)
    assert stands["pairings"] == {"ok": True, "value": 1}


def test_a_module_of_opensc_that_is_broken(patient: Patient) -> None:
    (module,) = patient.remote.run(["sh", "-c", "echo /usr/lib/*/opensc-pkcs11.so"]).stdout.split()
    patient.remote.write("/run/garbage", "garbage")
    patient.remote.run(["mount", "--bind", "/run/garbage", module])
    found = doctor(patient.remote)
    assert wrong(found) == {"OpenSC": "apt-get install --reinstall opensc-pkcs11"}
    assert "can't be used" in str(found["OpenSC"]["text"])


def test_srad_killed(patient: Patient) -> None:
    patient.service.process.kill()
    start = "sra remote run"
    found = doctor(patient.remote)
    assert wrong(found) == {"admins' port": start, "local port": start, "virtual cards": start}
    assert found["admins' port"]["text"] == "127.0.0.1 port 4116 can't be reached: Connection refused."
    assert wrong(doctor(patient.admin, "remote")) == {"reached": "sra doctor  (on remote, as root)"}
    assert "running        no" in patient.remote.run([SRA, "status"], check=False).stdout
    patient.service = product.start_remote(patient.remote)
    assert wrong(doctor(patient.remote)) == {}


def test_a_port_that_somebody_else_has_taken(patient: Patient) -> None:
    patient.service.process.kill()
    patient.remote.add_account("mallory", "secret")
    thief = patient.remote.start(
        ["openssl", "s_server", "-accept", "4116", "-nocert", "-cipher", "aNULL"], user="mallory"
    )
    wait_until(lambda: ":4116 " in patient.remote.run(["ss", "-ltn"]).stdout, "the port to be taken", 10)
    found = doctor(patient.remote)
    assert found["admins' port"]["text"] == "Port 4116 is taken by a program of mallory."
    command = str(found["admins' port"]["command"])
    assert ("openssl" in patient.remote.run(command.split()).stdout) is True
    thief.kill()


def test_who_is_not_root_is_told_to_be(patient: Patient) -> None:
    patient.remote.add_account("bob", "secret")
    done = patient.remote.run([SRA, "doctor", "--cards-dir", CARDS, "--json"], user="bob", check=False)
    commands = {each["check"]: each["command"] for each in json.loads(done.stdout) if not each["ok"]}
    assert commands["identity"] == "sudo sra doctor"
    assert not {"sra identity generate", "sra pam enable SERVICE"} & {*commands.values()}


def test_a_virtual_card_that_hangs_back(patient: Patient) -> None:
    pid = re.findall(r"sra-card 1 runs as process ([0-9]+)", patient.service.process.output)[-1]
    gone = patient.service.process.output.count("reader 1 is gone")
    patient.remote.run(["kill", "-STOP", pid])
    wait_until(lambda: patient.service.process.output.count("reader 1 is gone") > gone, "srad to give reader 1 up", 15)
    found = doctor(patient.remote)
    assert wrong(found) == {"virtual cards": "sra remote run"}
    assert found["virtual cards"]["text"] == "1 of 2 virtual cards are attached to srad."
    patient.service.process.kill()


def test_a_broken_pairing_file(patient: Patient) -> None:
    patient.remote.write("/etc/sra/pairings.toml", "[[pairing]]\naccount = \n")
    found = doctor(patient.remote, "--certificate", "/root/ann.pem")
    assert wrong(found) == {"pairings": "editor /etc/sra/pairings.toml", "card": "sra whois FILE"}
    assert "/etc/sra/pairings.toml: " in str(found["pairings"]["text"])


def test_nobody_paired_and_a_card_that_opens_nothing(patient: Patient) -> None:
    patient.remote.run([SRA, "unpair", "ann"])
    found = doctor(patient.remote, "--certificate", "/root/ann.pem")
    assert wrong(found) == {"pairings": "sra pair ACCOUNT --certificate FILE", "card": "sra whois FILE"}
    assert "not paired" in str(found["card"]["text"])


def test_pcscd_stopped(patient: Patient) -> None:
    patient.pcscd.kill()
    found = doctor(patient.remote)
    assert wrong(found) == {"pcscd": "systemctl start pcscd.socket", "readers": "systemctl restart pcscd.service"}


def test_a_reader_missing_in_pcscd(patient: Patient) -> None:
    patient.pcscd.kill()
    one_reader = patient.remote.pcscd(readers=1)
    found = doctor(patient.remote)
    assert wrong(found) == {"readers": "systemctl restart pcscd.service"}
    assert found["readers"]["text"] == "pcscd has 1 of 2 virtual readers."
    one_reader.kill()


def test_a_license_that_has_expired(patient: Patient) -> None:
    product.install_license(patient.remote, a_license(ends=DAY))
    assert wrong(doctor(patient.remote)) == {"license": "sra license install FILE"}
    found = doctor(patient.admin, "remote")
    assert wrong(found) == {"license": "sra license install FILE  (on remote, as root)"}
    assert "The license of remote expired on 1970-01-02." in str(found["license"]["text"])


def test_another_identity_in_the_files_than_srad_shows(patient: Patient) -> None:
    patient.remote.run([SRA, "identity", "generate", "--force"])
    assert wrong(doctor(patient.remote)) == {"admins' port": "sra remote run", "local port": "sra remote run"}


def test_an_identity_that_the_admin_remembers_otherwise(patient: Patient) -> None:
    other = "SHA256:" + ":".join(["00"] * 32)
    patient.admin.write("/root/.config/sra/known_remotes", f"remote 4116 {other} 2026-01-02\n")
    found = doctor(patient.admin, "remote")
    assert wrong(found) == {"fingerprint": "sra trust forget remote:4116"}
    assert "HAS CHANGED" in str(found["fingerprint"]["text"])
    assert list(found)[-1] == "fingerprint"


def test_settings_that_cant_be_read_and_permissions_that_are_too_wide(patient: Patient) -> None:
    patient.remote.write("/etc/sra/srad.toml", "port = 'x'\n")
    patient.remote.run(["chmod", "go+w", "/etc/sra/trust"])
    found = doctor(patient.remote)
    assert wrong(found) == {"settings": "editor /etc/sra/srad.toml", "permissions": "chmod go-w /etc/sra/trust"}


def test_a_clock_that_was_set_back(patient: Patient) -> None:
    patient.remote.write("/var/lib/sra/latest-time", "2090-01-01T00:00:00+00:00")
    found = doctor(patient.remote)
    assert wrong(found) == {"license": "sra license install FILE", "clock": "sra license clock --accept"}
    assert "has shown 2090-01-01 00:00 UTC before" in str(found["clock"]["text"])


def test_no_card_and_a_remote_that_is_not_there(patient: Patient) -> None:
    patient.admin.run(["rm", "-r", CARDS])
    patient.admin.cable(up=False)
    found = doctor(patient.admin, "remote:4116")
    assert wrong(found) == {"cards": "sra cards", "reached": "sra doctor  (on remote, as root)"}


def test_people_read_the_same_in_lines(patient: Patient) -> None:
    patient.pcscd.kill()
    lines = patient.remote.run([SRA, "doctor"], check=False).stdout.splitlines()
    assert lines[0].split() == ["ok", "settings", "ports", "4116", "and", "4117,", "2", "readers"]
    at = next(number for number, line in enumerate(lines) if line.startswith("WRONG  pcscd "))
    assert lines[at + 1].strip() == "run: systemctl start pcscd.socket"


@pytest.fixture(scope="module")
def activated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SystemdMachine, Admin]]:
    """A machine where the remote is a service, with a license and somebody who may come."""
    with installed_machine() as machine:
        machine.run(["sra", "activate", "-g"])
        give_license(machine)
        admin = Admin(tmp_path_factory.mktemp("admin"))
        machine.run(["useradd", "--create-home", "ann"])
        machine.write("/root/ann.pem", admin.make_card("ann"))
        machine.run(["sra", "pair", "ann", "--certificate", "/root/ann.pem"])
        yield machine, admin


def test_a_remote_that_is_a_service_is_all_right_and_its_log_is_in_the_journal(
    activated: tuple[SystemdMachine, Admin],
) -> None:
    machine, admin = activated
    connection = admin.connect(machine, "ann")
    done = machine.run(["sra", "doctor"], check=False)
    connection.terminate()
    assert (done.returncode, "WRONG" in done.stdout) == (0, False), done.stdout
    assert re.search(r"ok +card +the card whose certificate says “ann” opens the account ann", done.stdout)
    logged = machine.run(["sra", "log", "--since", "1h"]).stdout
    assert re.search(r" srad\[\d+\]: .* connected as ann", logged)
    assert re.search(r" sra-card\[\d+\]: the card is in reader 0", logged)
    (session,) = re.findall(r"as ann \(session ([0-9a-f]{8})\)", connection.output)
    found = machine.run(["sra", "log", "--session", session]).stdout.splitlines()
    assert [line for line in found if f"]: session={session} " not in line] == []
    assert any(line.endswith("connected as ann") for line in found)
    assert " authenticated account=ann " in machine.run(["sra", "audit", "show"]).stdout
    assert machine.run(["stat", "--format=%U", "/var/lib/sra/latest-time"]).stdout == "_sra\n"


def test_services_that_are_stopped_are_named_with_the_command_that_starts_them(
    activated: tuple[SystemdMachine, Admin],
) -> None:
    machine, _ = activated
    machine.run(["systemctl", "stop", "srad.service", "pcscd.socket", "pcscd.service"])
    found = json.loads(machine.run(["sra", "doctor", "--json"], check=False).stdout)
    commands = {finding["check"]: finding["command"] for finding in found if not finding["ok"]}
    start = "systemctl restart sra.target"
    assert commands == {
        "admins' port": start,
        "local port": start,
        "virtual cards": start,
        "pcscd": "systemctl start pcscd.socket",
        "readers": "systemctl restart pcscd.service",
    }
    for command in commands.values():
        machine.run(command.split())
    wait_until(lambda: machine.run(["sra", "doctor"], check=False).returncode == 0, "the doctor's content", 20)
