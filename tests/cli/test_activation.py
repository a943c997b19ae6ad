"""The commands on a machine in a folder, whose programs are played (tests/remote/activation/world.py)."""

import hashlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sra.cli import activation, activation_machine
from sra.cli.run import status
from sra.config import Paths
from sra.errors import UsageError
from sra.identity import handover
from sra.remote.activation import steps_linux
from sra.remote.activation.machine import ActivationError
from sra.transport import identity_choice, tls_identity
from tests.cli.whole import app
from tests.remote.activation.world import World

SCRIPT = Path(__file__).resolve().parent.parent.parent / "packaging" / "secure_remote_access.sh"
DRIVER = steps_linux.DRIVER


class Srad:
    """The certificate that srad shows: the one that was there when it was started."""

    def __init__(self, world: World) -> None:
        self._paths = Paths(world.root)
        self.shown = b""

    def start(self) -> None:
        self.shown = tls_identity.load(self._paths.identity).certificate


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A machine that could be activated: root, systemd, pcscd and the driver are there."""
    made = World(tmp_path / "machine")
    (made.root / "run/systemd/system").mkdir(parents=True)
    made.write(DRIVER, "driver")
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(activation_machine, "is_root", lambda: True)
    monkeypatch.setattr(activation, "this_machine", lambda: made.machine)
    monkeypatch.setattr(activation, "programs", lambda: Path("/opt/sra/bin"))
    srad = Srad(made)
    monkeypatch.setattr(activation_machine, "served", lambda _: served(made, srad))
    return made


def served(world: World, srad: Srad) -> bytes:
    """What srad shows; it is started when systemd was told so since it was looked at last."""
    starts = world.programs.ran.count(("systemctl", "restart", "sra.target"))
    if starts != getattr(srad, "starts", 0):
        srad.start()
        srad.starts = starts  # type: ignore[attr-defined]
    return srad.shown


def run(*arguments: str) -> int:
    return status(app, list(arguments))


def identity(world: World) -> tls_identity.TlsIdentity:
    return tls_identity.load(Paths(world.root).identity)


def trusted(world: World) -> bytes:
    return (world.root / "etc/ssl/certs/ca-certificates.crt").read_bytes()


def pem_in_use(world: World) -> bytes:
    return (world.root / "etc/sra/identity/certificate.pem").read_bytes()


def import_identity(world: World, name: str) -> str:
    """Put an identity among those that can be chosen; its SHA-1."""
    made = tls_identity.make([name], datetime.now(UTC))
    folder = Paths(world.root).etc / "identities"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.pem"
    path.write_bytes(identity_choice.pem_file(made))
    path.chmod(0o600)
    der = x509.load_pem_x509_certificate(made.certificates).public_bytes(Encoding.DER)
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()


def test_the_paths_are_those_of_the_programs() -> None:
    paths = Paths()
    assert (Path(steps_linux.CONFIGURATION), Path(steps_linux.IDENTITY)) == (paths.etc, paths.identity)
    assert Path(steps_linux.RUN) == paths.run
    assert Path(steps_linux.KEY).name == tls_identity.KEY_FILE
    assert Path(steps_linux.CERTIFICATE).name == tls_identity.CERTIFICATE_FILE


def test_an_identity_is_made_and_trusted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("activate", "-g") == 0
    shown = capsys.readouterr()
    assert identity(world).fingerprint in shown.out
    assert "4116" in shown.out
    assert "sra pair ACCOUNT" in shown.out
    assert "sra: user _sra\n" in shown.err
    assert identity(world).names == (os.uname().nodename, "localhost")
    assert pem_in_use(world) in trusted(world)
    assert world.machine.user("_srascreen") is None


def test_again_keeps_the_identity_and_changes_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    run("activate", "-g", "-s")
    before, tree = identity(world), world.tree()
    for again in (["activate"], ["activate", "-g"], ["activate", "-s", "-g"]):
        capsys.readouterr()
        assert run(*again) == 0
        assert "nothing had to be changed" in capsys.readouterr().err
    assert identity(world) == before
    assert world.tree() == tree


def test_what_was_asked_for_once_stays(world: World) -> None:
    run("activate", "-g")
    run("activate", "-s")
    assert world.machine.user("_srascreen") is not None
    assert pem_in_use(world) in trusted(world)


def test_without_an_identity_there_is_no_activation(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = world.tree()
    assert run("activate", "-s") == 2
    assert "-g" in capsys.readouterr().err
    assert world.tree() == before


def test_an_identity_that_is_there_is_used(world: World) -> None:
    made = tls_identity.generate(Paths(world.root).identity, ["here.example.com"], datetime.now(UTC))
    before = world.tree()
    assert run("activate", "-g") == 0
    assert identity(world) == made
    assert pem_in_use(world) in trusted(world)
    assert run("deactivate") == 0
    assert world.tree() == before


def test_an_identity_is_chosen_by_its_sha1(world: World) -> None:
    sha1 = import_identity(world, "wanted.example.com")
    import_identity(world, "other.example.com")
    assert run("activate", "-c", sha1.upper()) == 0
    assert identity(world).names == ("wanted.example.com",)
    assert trusted(world) == b""


def test_the_identity_that_was_used_before_can_be_chosen_again(world: World) -> None:
    run("activate", "-g")
    first = identity(world)
    assert run("activate", "-c", import_identity(world, "wanted.example.com")) == 0
    assert identity(world).names == ("wanted.example.com",)
    assert pem_in_use(world) in trusted(world)
    assert run("activate", "-c", first.fingerprint) == 0
    assert identity(world).fingerprint == first.fingerprint


def test_the_identity_in_use_can_be_chosen_and_nothing_happens(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    run("activate", "-g")
    capsys.readouterr()
    assert run("activate", "-c", identity(world).fingerprint) == 0
    assert "nothing had to be changed" in capsys.readouterr().err


def test_an_identity_that_is_not_there_can_not_be_chosen(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("activate", "-c", "AB" * 20) == 2
    assert "sra identity list" in capsys.readouterr().err
    assert run("activate", "-c", "rubbish") == 2
    assert "is not a fingerprint" in capsys.readouterr().err
    assert run("activate", "-g", "-c", "AB" * 20) == 2
    assert "not both" in capsys.readouterr().err


def test_after_a_renewal_srad_is_started_again_and_the_new_one_trusted(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    run("activate", "-g")
    before = identity(world)
    assert run("identity", "generate", "--renew", "--root", str(world.root)) == 0
    assert run("activate") == 0
    assert handover.replaces(identity(world).certificate, before.fingerprint)
    assert world.programs.ran[-1] == ("systemctl", "restart", "sra.target")
    assert "renewed identity" in capsys.readouterr().err
    assert pem_in_use(world) in trusted(world)


def test_half_an_identity_of_an_interrupted_activation_is_made_anew(world: World) -> None:
    world.programs.failing.add("systemctl")
    assert run("activate", "-g") == 2
    (world.root / "etc/sra/identity/certificate.pem").unlink()
    world.programs.failing.clear()
    assert run("activate", "-g") == 0
    assert identity(world).names[-1] == "localhost"


def test_half_an_identity_of_anybody_else_is_not_touched(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.write("/etc/sra/identity/key.pem", "key", 0o600)
    before = world.tree()
    assert run("activate", "-g") == 2
    assert "certificate.pem is missing" in capsys.readouterr().err
    assert world.tree() == before


def test_deactivation_takes_everything_back(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = world.tree()
    run("activate", "-g", "-s")
    assert run("deactivate") == 0
    assert "taken back: user _sra" in capsys.readouterr().err
    assert world.tree() == before
    assert run("deactivate") == 0
    assert "not activated" in capsys.readouterr().err


def test_as_many_readers_as_are_set(world: World) -> None:
    world.write("/etc/sra/srad.toml", "readers = 3\n")
    run("activate", "-g")
    assert "sra-card@2.service" in (world.root / "etc/systemd/system/sra.target").read_text()
    assert "readers/2" in (world.root / "etc/reader.conf.d/secure-remote-access").read_text()


def test_pcscd_as_a_user_of_its_own_and_with_polkit(world: World) -> None:
    world.programs(["useradd", "pcscd"])
    world.write("/usr/share/polkit-1/actions/org.debian.pcsc-lite.policy", "")
    run("activate", "-g")
    assert (world.root / "etc/polkit-1/rules.d/50-sra-card.rules").exists()
    number = world.machine.user("pcscd")
    wanted = f"--pcscd-uid {number}" if number else "--reader %i\n"
    assert wanted in (world.root / "etc/systemd/system/sra-card@.service").read_text()


@pytest.mark.parametrize(
    ("missing", "told"),
    [("run/systemd/system", "sra remote run"), (DRIVER, "make -C reader install")],
)
def test_what_is_missing_is_told_with_what_to_do(
    world: World, capsys: pytest.CaptureFixture[str], missing: str, told: str
) -> None:
    path = world.root / missing.removeprefix("/")
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    assert run("activate", "-g") == 2
    assert told in capsys.readouterr().err


def test_without_pcscd_the_package_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.programs.installed.clear()
    assert run("activate", "-g") == 2
    assert "apt-get install pcscd" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["activate", "deactivate"])
def test_only_root_can(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(activation_machine, "is_root", lambda: False)
    assert run(command) == 2
    assert "sudo" in capsys.readouterr().err


# The machine


def test_a_program_that_is_not_installed_fails() -> None:
    machine = activation_machine.this_machine()
    assert machine.succeeds(["true"])
    assert not machine.succeeds(["false"])
    with pytest.raises(ActivationError, match="not installed"):
        machine.run(["a-program-that-nobody-has"])


@pytest.mark.parametrize(
    ("python", "told"),
    [("/usr/bin/python3", "srad is missing"), ("/root/checkout/.venv/bin/python3", None), ("/opt/a b/python3", None)],
)
def test_services_need_programs_that_they_can_read(
    monkeypatch: pytest.MonkeyPatch, python: str, told: str | None
) -> None:
    monkeypatch.setattr("sys.executable", python)
    if told is None:
        monkeypatch.setattr(Path, "exists", lambda _: True)
    with pytest.raises(ActivationError, match=told or "The services' users can't read"):
        activation_machine.programs()


def test_programs_that_everybody_can_read_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/usr/bin/python3")
    monkeypatch.setattr(Path, "exists", lambda _: True)
    assert activation_machine.programs() == Path("/usr/bin")


@contextmanager
def tls_server(context_of: tls_identity.TlsIdentity) -> Iterator[int]:
    """A server with this identity, for one connection after the other."""
    context = tls_identity.server_context(context_of, ["sra/1"])
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                    with context.wrap_socket(connection, server_side=True) as secured:
                        secured.recv(1)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


def test_srad_is_waited_for_and_asked_for_its_certificate(tmp_path: Path) -> None:
    made = tls_identity.generate(tmp_path, ["localhost"], datetime.now(UTC))
    with tls_server(made) as port:
        assert activation_machine.served(port) == made.certificate
        activation_machine.wait_for_srad(port, made.certificate, lambda: pytest.fail("it was started again"))


def test_a_srad_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation_machine, "ANSWER_DEADLINE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(UsageError, match="journalctl -u srad"):
        activation_machine.wait_for_srad(port, b"", lambda: None)


# The script


@pytest.fixture
def called(tmp_path: Path) -> Path:
    """A copy of the script as in a checkout, whose sra writes down how it was called."""
    (tmp_path / "packaging").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    sra = tmp_path / ".venv/bin/sra"
    sra.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/called\n')
    sra.chmod(0o755)
    shutil.copy(SCRIPT, tmp_path / "packaging")
    return tmp_path


def script(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "packaging" / SCRIPT.name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("options", "called_with"),
    [
        ("-a -g -s", "activate --generate --screen"),
        ("-ags", "activate --generate --screen"),
        ("-s -g -a", "activate --generate --screen"),
        ("-sag", "activate --generate --screen"),
        ("-a", "activate"),
        ("-a -c AB:CD -s", "activate --certificate AB:CD --screen"),
        ("-sac AB:CD", "activate --certificate AB:CD --screen"),
        ("-cABCD -a", "activate --certificate ABCD"),
        ("-d", "deactivate"),
    ],
)
def test_the_script_passes_its_options_on(called: Path, options: str, called_with: str) -> None:
    ended = script(called, *options.split())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (called / "called").read_text().split() == called_with.split()


@pytest.mark.parametrize("options", ["", "-g", "-s", "-a -d", "-d -s", "-d -c AB", "-x", "-a -c", "-a extra"])
def test_the_script_refuses_what_makes_no_sense(called: Path, options: str) -> None:
    ended = script(called, *options.split())
    assert ended.returncode == 2
    assert "Usage: secure_remote_access.sh -a" in ended.stderr
    assert not (called / "called").exists()


def test_the_script_explains_itself(called: Path) -> None:
    ended = script(called, "-h")
    assert ended.returncode == 0
    assert "-c FINGERPRINT" in ended.stdout
