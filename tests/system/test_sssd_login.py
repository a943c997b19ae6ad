"""SSSD logs in with the inserted card: by the session code. Its p11_child of 2.8 knows no PIN pad."""

from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest

from lab.hosts import two_hosts
from lab.processes import Process, wait_until
from lab.product import PIN, SRA, Terminal, World, code_of, remote_at_work, tries_left, wait_for_card
from tests.system.test_certificate_policy import ROOT, TRUST, issued_by, pem

CHILD = "/usr/libexec/sssd/p11_child"
TRUSTED = "/etc/pam_pkcs11/sra/trusted.pem"
SETTINGS = """\
[sssd]
services = nss, pam
domains = local

[domain/local]
id_provider = files
"""
STACK = """\
auth required pam_sss.so require_cert_auth
account required pam_permit.so
session required pam_permit.so
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A remote whose policy wants an authority: under no other does SSSD get rules."""
    with two_hosts() as (admin, remote):
        remote.write(f"{TRUST}/root.pem", pem(ROOT.certificate))
        yield remote_at_work(admin, remote, settings='[policy]\ncertificates = "ca"\n')


@pytest.fixture(scope="module", autouse=True)
def sssd(world: World) -> Process:
    """SSSD with the accounts of the machine, and the rules that are made for it from the pairings."""
    daemon = start_sssd(world, lambda: issued_by(world, ROOT, "ann", ["9A=RSA2048"]))
    world.remote.add_account("bob", "a password that no test uses")
    world.remote.write("/etc/pam.d/su", STACK)
    return daemon


def start_sssd(world: World, before: Callable[[], object] = lambda: None) -> Process:
    """SSSD for the machine's own accounts, with what the product writes for it; ``before`` it reads that."""
    remote = world.remote
    remote.write("/etc/sssd/sssd.conf", SETTINGS, mode=0o600)
    remote.run([SRA, "pam", "enable", "su"])
    before()
    remote.write("/etc/nsswitch.conf", "passwd: files sss\ngroup: files sss\nhosts: files\n")
    remote.run(["mkdir", "-p", "/run/dbus"])
    return run_sssd(world)


def run_sssd(world: World) -> Process:
    """SSSD, which reads its settings only when it starts."""
    remote = world.remote
    daemon = remote.start(["sssd", "--interactive", "--logger=stderr"])
    wait_until(lambda: remote.run(["getent", "-s", "sss", "passwd", "daemon"], check=False).stdout, "SSSD", 20)
    return daemon


@pytest.fixture(params=["pad", "code"])
def entry(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connection(world: World, entry: str) -> Iterator[Process]:
    with world.inserted("ann", entry=entry) as running:
        wait_for_card(world.remote)
        yield running


def p11_child(world: World, *words: str, pin: str = "") -> CompletedProcess[str]:
    """SSSD's own program for cards, as its PAM responder runs it."""
    command = [CHILD, "--debug-level=0x0070", "--logger=stderr", "--ca_db", TRUSTED, "--verify", "no_ocsp"]
    return world.remote.run([*command, *words], input=pin, check=False)


def test_its_own_program_takes_the_code_and_leaves_the_pad_alone(world: World, entry: str, connection: Process) -> None:
    found = p11_child(world, "--pre").stdout.splitlines()
    assert found[:2] == ["0", "ann"]
    chosen = [f"--{name}={value}" for name, value in zip(("module_name", "key_id", "label"), found[2:5], strict=True)]
    authenticate = ["--auth", "--token_name=ann", *chosen]

    by_pad = p11_child(world, *authenticate, "--keypad")
    assert by_pad.returncode != 0
    assert "Login required but no PIN available" in by_pad.stderr
    assert "PIN" not in connection.output.partition("The card is inserted")[2], "nobody is asked"

    typed = code_of(connection) if entry == "code" else "00000000"
    by_code = p11_child(world, *authenticate, "--pin", pin=typed)
    assert (by_code.returncode == 0) is (entry == "code"), by_code.stderr
    assert ("PIN typed on the remote: right." in connection.output) is (entry == "code")
    assert ("Key 9A signed" in connection.output) is (entry == "code")
    assert tries_left(world.admin, "ann") == 3


def test_su_by_sssd_wants_the_code(world: World, entry: str, connection: Process) -> None:
    become = ["setpriv", "--reuid=bob", "--regid=bob", "--init-groups", "--reset-env"]
    su = Terminal(world.remote, [*become, "su", "ann", "-c", "id -un"])
    su.answer("PIN for ann: ", code_of(connection) if entry == "code" else "")
    su.process.wait(20)
    assert ("Insufficient credentials" in su.process.output) is (entry == "pad")
    assert (su.process.output.splitlines()[-1] == "ann") is (entry == "code")
    assert ("PIN asked on the PIN pad" in connection.output) is False
    assert PIN not in su.process.output
