import configparser
import re
from pathlib import Path

import pytest

from sra.remote.activation.changed_machine import UNITS
from sra.remote.activation.steps import Enabled, ExistingFile, File, Folder, Run, Step, SystemUser, TrustedCertificate
from sra.remote.activation.steps_linux import DRIVER, RemoteSetup, ScreenFiles, shipped, steps
from sra.remote.activation.virtual_screen_linux import VirtualScreen
from sra.transport.tls_identity import IdentityFiles

CHECKOUT = Path(__file__).resolve().parent.parent.parent.parent
PROGRAMS = Path("/usr/lib/secure-remote-access/bin")
IDENTITY = IdentityFiles(b"key", b"certificates")
SCREEN = ScreenFiles(PROGRAMS / "python3", Path("/run/sra/screen"))


def setup(**chosen: object) -> RemoteSetup:
    return RemoteSetup(**{"programs": PROGRAMS, "readers": 2, **chosen})  # type: ignore[arg-type]


def names(made: tuple[Step, ...]) -> list[str]:
    return [step.name for step in made]


def file(made: tuple[Step, ...], path: str) -> File:
    (found,) = [step for step in made if type(step) is File and step.name == path]
    return found


def unit(data: bytes) -> configparser.RawConfigParser:
    """A unit file; of a setting that is there several times, the last."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(data.decode())
    return parser


def test_every_step_has_a_name_of_its_own() -> None:
    former = ("/etc/sra/identities/a.pem", b"")
    made = steps(setup(identity=IDENTITY, trusted=b"pem", screen=SCREEN, virtual_screen=True, former=former))
    assert len(set(names(made))) == len(made)


def test_users_come_before_what_belongs_to_them_and_the_service_after_its_files() -> None:
    made = steps(setup(identity=IDENTITY))
    kinds = [type(step) for step in made]
    assert kinds.index(SystemUser) < kinds.index(Folder) < kinds.index(File) < kinds.index(Enabled)
    assert max(at for at, kind in enumerate(kinds) if kind is File) < kinds.index(Enabled)


def test_what_is_added_later_comes_after_the_service_so_that_it_interrupts_nobody() -> None:
    made = steps(setup(trusted=b"pem", screen=SCREEN))
    kinds = [type(step) for step in made]
    assert kinds[kinds.index(Enabled) :] == [
        Enabled, TrustedCertificate, SystemUser, Folder, File, File, Run, Enabled,
    ]  # fmt: skip
    more = [type(step) for step in steps(setup(trusted=b"pem", screen=SCREEN, virtual_screen=True))]
    at = kinds.index(TrustedCertificate) + 1
    assert more == [*kinds[:at], Folder, VirtualScreen, *kinds[at:]]


def test_only_the_daemon_reads_the_key_and_only_root_changes_it() -> None:
    made = steps(setup(identity=IDENTITY))
    key, certificate = file(made, "/etc/sra/identity/key.pem"), file(made, "/etc/sra/identity/certificate.pem")
    assert (key.mode, key.owner.user, key.owner.group, key.data) == (0o640, "root", "_sra", b"key")
    assert (certificate.mode, certificate.owner.user, certificate.data) == (0o644, "root", b"certificates")


def test_an_identity_that_is_there_is_only_made_readable_for_the_daemon() -> None:
    made = steps(setup())
    assert [type(step) for step in made if step.name.startswith("/etc/sra/identity/")] == [ExistingFile]


def test_an_identity_that_is_replaced_is_kept() -> None:
    made = steps(setup(identity=IDENTITY, former=("/etc/sra/identities/a.pem", b"former")))
    kept = file(made, "/etc/sra/identities/a.pem")
    assert (kept.mode, kept.owner.user, kept.data) == (0o600, "root", b"former")
    assert names(made).index(kept.name) < names(made).index("/etc/sra/identity/key.pem")


def test_no_secret_is_in_the_representation_of_a_step() -> None:
    made = steps(setup(identity=IdentityFiles(b"SECRET", b""), former=("/etc/sra/identities/a.pem", b"SECRET")))
    assert "SECRET" not in repr(made)
    assert "SECRET" not in repr(setup(identity=IdentityFiles(b"SECRET", b""), former=("/a", b"SECRET")))


def test_a_polkit_rule_is_only_there_where_pcscd_asks_polkit() -> None:
    rule = "/etc/polkit-1/rules.d/50-sra-card.rules"
    assert rule not in names(steps(setup()))
    assert rule in names(steps(setup(pcscd_asks_polkit=True)))
    assert b'isInGroup("sra-card")' in shipped("polkit.rules")


def test_there_is_a_virtual_card_for_each_reader() -> None:
    assert unit(file(steps(setup(readers=3)), f"{UNITS}/sra.target").data)["Unit"]["Wants"].split() == [
        "srad.service", "sra-card@0.service", "sra-card@1.service", "sra-card@2.service",
    ]  # fmt: skip


def test_the_readers_are_those_of_the_driver_s_own_configuration() -> None:
    made = file(steps(setup()), "/etc/reader.conf.d/secure-remote-access").data.decode()
    template = (CHECKOUT / "reader" / "reader.conf.in").read_text()
    expected = template.replace("@LIBPATH@", DRIVER).replace("@RUN@", "/run/sra")

    def settings(text: str) -> list[str]:
        return [" ".join(line.split()) for line in text.splitlines() if line and not line.startswith("#")]

    assert settings(made) == settings(expected)


@pytest.mark.parametrize(
    ("name", "user", "program"),
    [
        ("srad.service", "_sra", "/usr/lib/secure-remote-access/bin/srad"),
        ("sra-card@.service", "_sra-card", "/usr/lib/secure-remote-access/bin/sra-card --reader %i"),
    ],
)
def test_the_services_are_users_of_their_own_without_any_privilege(name: str, user: str, program: str) -> None:
    service = unit(file(steps(setup()), f"{UNITS}/{name}").data)["Service"]
    assert service["User"] == service["Group"] == user
    assert service["ExecStart"] == program
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == ""
    assert service["ProtectSystem"] == "strict"
    assert service["Restart"] == "always"
    assert service["SyslogIdentifier"] == program.split(maxsplit=1)[0].rpartition("/")[2]
    switches = ("NoNewPrivileges", "PrivateDevices", "MemoryDenyWriteExecute", "RestrictNamespaces", "ProtectHome")
    assert {service[name] for name in switches} == {"yes"}


def test_the_virtual_card_reaches_no_other_machine() -> None:
    service = unit(file(steps(setup()), f"{UNITS}/sra-card@.service").data)["Service"]
    assert (service["IPAddressDeny"], service["IPAddressAllow"]) == ("any", "localhost")
    assert service["ReadWritePaths"] == "/run/sra/readers"


def test_a_pcscd_that_is_not_root_is_let_in() -> None:
    assert b"--reader %i --pcscd-uid 104\n" in file(steps(setup(pcscd_uid=104)), f"{UNITS}/sra-card@.service").data


def test_only_the_group_reaches_pcscd_and_pcscd_stays() -> None:
    socket = unit(shipped("pcscd-socket.conf"))["Socket"]
    assert (socket["SocketMode"], socket["SocketGroup"]) == ("0660", "sra-card")
    assert shipped("pcscd-service.conf").endswith(b"ExecStart=\nExecStart=/usr/sbin/pcscd --foreground $PCSCD_ARGS\n")


def test_nothing_is_left_to_be_filled_in() -> None:
    made = steps(setup(identity=IDENTITY, screen=SCREEN, virtual_screen=True, pcscd_asks_polkit=True))
    assert [step.name for step in made if isinstance(step, File) and re.search(rb"@[A-Z]+@", step.data)] == []
