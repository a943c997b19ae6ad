"""The commands on a machine in a folder, whose programs are played (tests/remote/activation/world.py)."""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sra.cli.remote import activation
from sra.identity import handover
from sra.paths import Paths
from sra.programs.run import status
from sra.remote.activation import steps_linux
from sra.remote.activation import this_machine as activation_machine
from sra.transport import identity_choice, tls_identity
from tests.cli.remote.test_identity import pkcs12_file
from tests.cli.whole import app
from tests.remote.activation.world import World

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


def test_the_password_of_a_script_is_tried_with_each_pkcs12_file(world: World, tmp_path: Path) -> None:
    folder = Paths(world.root).etc / "identities"
    folder.mkdir(parents=True)
    fingerprints = []
    for name, password in (("a", b"another"), ("b", b"right")):
        path, made = pkcs12_file(folder, password)
        path.rename(folder / f"{name}.p12")
        fingerprints.append(x509.load_pem_x509_certificate(made.certificates).fingerprint(hashes.SHA256()).hex())
    given = tmp_path / "password"
    for fingerprint, status_ in zip(fingerprints, (2, 0), strict=True):
        given.write_text("right\n")
        with given.open("rb") as file:
            assert run("activate", "-c", fingerprint, "--password-fd", str(file.fileno())) == status_
    assert identity(world).fingerprint.replace(":", "").lower().endswith(fingerprints[1])


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
    assert run("activate", "-c", "") == 2
    assert "is not a fingerprint" in capsys.readouterr().err
    for choice in ("AB" * 20, ""):
        assert run("activate", "-g", "-c", choice) == 2
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


def install_virtual_screen(world: World) -> None:
    for name in ("usr/sbin/lightdm", "usr/share/xgreeters/any.desktop", "usr/bin/Xvfb", "usr/bin/X0tigervnc"):
        world.write(name, "")


def test_a_virtual_screen_is_one_option(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    install_virtual_screen(world)
    before = world.tree()
    assert run("activate", "-g", "--virtual-screen") == 0
    assert world.machine.user("_srascreen") is not None
    assert world.programs.has_virtual_screen
    units = world.root / "etc/systemd/system"
    assert "Wants=lightdm.service\n" in (units / "sra-screen.service").read_text()
    capsys.readouterr()
    assert run("activate") == 0
    assert "nothing had to be changed" in capsys.readouterr().err
    assert run("deactivate") == 0
    assert not world.programs.has_virtual_screen
    assert world.tree() == before


def test_a_shared_screen_alone_wants_no_login_window(world: World) -> None:
    run("activate", "-g", "-s")
    assert "lightdm" not in (world.root / "etc/systemd/system/sra-screen.service").read_text()
    assert not (world.root / "etc/lightdm/lightdm.conf.d").exists()


def test_a_virtual_screen_that_can_not_be_changes_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = world.tree()
    assert run("activate", "-g", "--virtual-screen") == 2
    assert "apt-get install lightdm" in capsys.readouterr().err
    assert world.tree() == before
    assert world.programs.ran == []


def test_a_monitor_that_will_stay_dark_is_told(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    install_virtual_screen(world)
    world.write("/sys/class/drm/card0-HDMI-A-1/status", "connected\n")
    assert run("activate", "-g", "--virtual-screen") == 0
    assert "a monitor is connected (card0-HDMI-A-1)" in capsys.readouterr().err


def test_a_login_window_that_does_not_come_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install_virtual_screen(world)
    monkeypatch.setattr(activation_machine, "ANSWER_DEADLINE", 0.2)
    monkeypatch.setattr(world.programs, "_read_settings", lambda _: None)
    assert run("activate", "-g", "--virtual-screen") == 2
    assert "journalctl -u lightdm" in capsys.readouterr().err


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
