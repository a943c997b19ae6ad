"""``sra pam`` on a machine in a folder: what it writes, refuses, keeps and takes back."""

import os
import stat
from pathlib import Path

import pytest

from sra.paths import Paths
from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.pam_pkcs11 import Pkcs11Settings, modules_in
from tests.cli.login_machine import ACCOUNT, STACK, make_card, make_machine, run, states, tree
from tests.remote.accounts.issuing import Authority


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    return make_machine(tmp_path / "machine")


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return make_card(tmp_path / "card")


def test_enabling_and_disabling_leaves_every_file_as_it_was(machine: Path) -> None:
    before = tree(machine)
    assert run(machine, "pam", "enable", "su", "sudo", "polkit-1", "sshd") == 0
    assert len(tree(machine)) > len(before)
    assert run(machine, "pam", "disable") == 0
    assert tree(machine) == before


def test_what_was_there_is_kept_for_the_worst_case(machine: Path) -> None:
    assert run(machine, "pam", "enable", "su") == 0
    backup = machine / "var/lib/sra-login/pam.d/su"
    assert backup.read_text() == STACK
    assert stat.S_IMODE(backup.parent.stat().st_mode) == 0o700
    (machine / "etc/pam.d/su").write_text((machine / "etc/pam.d/su").read_text() + "# new\n")
    assert run(machine, "pam", "enable", "su", "sudo") == 0
    assert backup.read_text() == STACK


def test_only_what_is_named_is_touched(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(machine, "pam", "enable", "su") == 0
    assert states(machine, capsys) == {"login": "off", "su": "card or password", "sudo": "off", "polkit-1": "off"}
    assert (machine / "etc/pam.d/sshd").read_text() == STACK
    assert run(machine, "pam", "enable", "sshd") == 0
    assert states(machine, capsys)["sshd"] == "card or password"


def test_doing_it_again_changes_nothing(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(machine, "pam", "enable", "su") == 0
    once = tree(machine)
    assert run(machine, "pam", "enable", "su") == 0
    assert tree(machine) == once
    assert "already" in capsys.readouterr().err


def test_the_announcement_names_the_installed_program(machine: Path) -> None:
    assert run(machine, "pam", "enable", "su") == 0
    text = (machine / "etc/pam.d/su").read_text()
    assert "quiet /usr/lib/secure-remote-access/sra-announce /run/sra/daemon/announce\n" in text


def test_one_that_can_not_be_changed_keeps_all_as_they_are(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(machine)
    for name, said in (("odd", "where the card belongs is not clear"), ("nothing", "has no service nothing")):
        assert run(machine, "pam", "enable", "su", name) == 2
        assert said in capsys.readouterr().err
        assert tree(machine) == before


@pytest.mark.parametrize("module", ["pam_pkcs11.so", "opensc-pkcs11.so"])
def test_without_its_module_nothing_is_changed(machine: Path, module: str, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = machine.rglob(module)
    path.unlink()
    before = tree(machine)
    assert run(machine, "pam", "enable", "su") == 2
    assert "apt-get install" in capsys.readouterr().err
    assert tree(machine) == before


def test_card_only_wants_a_card_that_could_log_in(
    machine: Path, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(machine)
    assert run(machine, "pam", "enable", "--card-only", "su") == 2
    assert "No card can log in yet" in capsys.readouterr().err
    assert tree(machine) == before
    assert run(machine, "pair", ACCOUNT, "--certificate", str(card)) == 0
    assert run(machine, "pam", "enable", "--card-only", "su") == 0
    assert states(machine, capsys)["su"] == "card only"


def test_the_last_password_that_begins_a_session_goes_only_with_yes(
    machine: Path, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(machine, "pair", ACCOUNT, "--certificate", str(card)) == 0
    before = tree(machine)
    assert run(machine, "pam", "enable", "--card-only", "login", "sshd", "su") == 2
    assert "no password begins a session on this machine any more" in capsys.readouterr().err
    assert tree(machine) == before  # su, sudo and polkit-1, which still ask for it, let nobody in
    assert run(machine, "pam", "enable", "--card-only", "su", "sudo", "polkit-1", "sshd") == 0
    assert run(machine, "pam", "enable", "login") == 0
    assert run(machine, "pam", "enable", "--card-only", "login") == 2
    assert states(machine, capsys)["login"] == "card or password"
    assert run(machine, "pam", "enable", "--card-only", "--yes", "login") == 0
    assert states(machine, capsys)["login"] == "card only"


@pytest.mark.parametrize("window", ["lightdm", "gdm-password", "sddm"])
def test_a_login_window_is_a_way_in_unless_its_lines_were_edited(machine: Path, card: Path, window: str) -> None:
    assert run(machine, "pair", ACCOUNT, "--certificate", str(card)) == 0
    stack = machine / "etc/pam.d" / window
    stack.write_text(STACK)
    assert run(machine, "pam", "enable", "--card-only", "login", "sshd") == 0
    assert run(machine, "pam", "enable", window, "login", "sshd") == 0
    stack.write_text(stack.read_text().replace("default=die", "default=bad"))
    assert run(machine, "pam", "enable", "--card-only", "login", "sshd") == 2


def test_card_only_wants_a_card_by_which_somebody_becomes_root(
    machine: Path, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(machine, "pair", "nobody", "--certificate", str(card)) == 0
    before = tree(machine)
    assert run(machine, "pam", "enable", "--card-only", "su") == 2
    assert "No card of root's" in capsys.readouterr().err
    assert tree(machine) == before
    assert run(machine, "pam", "enable", "--card-only", "--yes", "su") == 0


def test_a_stack_that_was_edited_is_left_alone(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(machine, "pam", "enable", "su") == 0
    path = machine / "etc/pam.d/su"
    path.write_text(path.read_text().replace("default=die", "default=bad"))
    edited = path.read_text()
    for command in ("enable", "disable"):
        assert run(machine, "pam", command, "su") == 2
        assert "edited by hand" in capsys.readouterr().err
        assert path.read_text() == edited
    assert states(machine, capsys)["su"] == "edited by hand"


def test_the_owners_settings_of_pam_pkcs11_are_left_alone(machine: Path) -> None:
    """The stacks name a file of ours: what the owner's loads as root would obey whoever runs su."""
    theirs = LoginPaths(machine).default_configuration
    theirs.parent.mkdir(parents=True)
    theirs.write_text("module = /usr/lib/opensc-pkcs11.so;\n")
    before = tree(machine)
    assert run(machine, "pam", "enable", "su", "sudo") == 0
    assert theirs.read_text() == "module = /usr/lib/opensc-pkcs11.so;\n"
    assert "pam_pkcs11.so config_file=/etc/pam_pkcs11/sra/pam_pkcs11.conf\n" in (machine / "etc/pam.d/su").read_text()
    ours = LoginPaths(machine).configuration.read_text()
    assert modules_in(ours) == {"/usr/lib/secure-remote-access/sra-opensc.so"}
    assert run(machine, "pam", "disable") == 0
    assert tree(machine) == before


def test_settings_of_a_former_version_load_our_module_too_and_give_way(machine: Path) -> None:
    """A stack that was written by it names no file, until it is enabled anew."""
    login = LoginPaths(machine)
    login.default_configuration.parent.mkdir(parents=True)
    login.default_configuration.write_text(Pkcs11Settings("/usr/lib/opensc-pkcs11.so", "/t", "/m", "signature").text)
    login.former_configuration.parent.mkdir(parents=True)
    login.former_configuration.write_text("their own\n")
    assert run(machine, "pam", "enable", "su") == 0
    assert login.default_configuration.read_text() == login.configuration.read_text()
    assert run(machine, "pam", "disable") == 0
    assert login.default_configuration.read_text() == "their own\n"
    assert not login.former_configuration.exists()


def test_settings_that_were_edited_since_count_and_are_kept_aside(machine: Path) -> None:
    assert run(machine, "pam", "enable", "su") == 0
    login = LoginPaths(machine)
    edited = login.configuration.read_text().replace("nullok = false", "nullok = true")
    login.configuration.write_text(edited)
    assert run(machine, "pam", "enable", "sudo") == 0
    assert login.configuration.read_text() == edited
    assert run(machine, "pam", "disable") == 0
    assert (login.edited / "sra/pam_pkcs11.conf").read_text() == edited


def test_settings_that_load_another_module_let_no_service_be_enabled(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(machine, "pam", "enable", "su") == 0
    path = LoginPaths(machine).configuration
    path.write_text(
        path.read_text().replace("/usr/lib/secure-remote-access/sra-opensc.so", "/usr/lib/opensc-pkcs11.so")
    )
    before = tree(machine)
    assert run(machine, "pam", "enable", "sudo") == 2
    assert "names /usr/lib/opensc-pkcs11.so, which would obey the environment" in capsys.readouterr().err
    assert tree(machine) == before


def test_a_service_that_others_reach_is_warned_about(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> str:
        capsys.readouterr()
        assert run(machine, "pam", "enable", *words) == 0
        return capsys.readouterr().err

    assert "warning" not in said("su", "login")
    assert "warning: sshd: logins from other machines are not asked for the card" in said("sshd", "su")
    assert "warning: everyone who reaches sshd over the network" in said("sshd", "--from-network")
    assert "sra-announce /run/sra/daemon/announce from-network\n" in (machine / "etc/pam.d/sshd").read_text()


def test_sssd_asks_cards_only_for_services_of_this_machine(machine: Path) -> None:
    """It can't tell where a login comes from."""
    login = LoginPaths(machine)
    login.sssd.mkdir()
    config = Paths(machine).config
    config.parent.mkdir(parents=True)
    config.write_text('[policy]\ncertificates = "ca"\n')
    assert run(machine, "pam", "enable", "su", "sshd") == 0
    assert "pam_p11_allowed_services = +su\n" in login.sssd_pairings.read_text()
    assert run(machine, "pam", "enable", "sshd", "--from-network") == 0
    assert "pam_p11_allowed_services = +su, +sshd\n" in login.sssd_pairings.read_text()


def test_the_map_follows_the_pairings(machine: Path, card: Path) -> None:
    mapping = LoginPaths(machine).mapping
    assert run(machine, "pair", ACCOUNT, "--certificate", str(card)) == 0
    assert not mapping.exists()
    assert run(machine, "pam", "enable", "su") == 0
    assert "-> root\n" in mapping.read_text()
    assert stat.S_IMODE(mapping.stat().st_mode) == 0o644
    assert run(machine, "unpair", ACCOUNT) == 0
    assert "->" not in mapping.read_text().partition("crashes")[2]
    assert list((Paths(machine).etc / "certificates").iterdir()) == []


@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_everybody_can_read_the_logins_files_whatever_roots_umask_is(machine: Path, umask: int) -> None:
    login, before = LoginPaths(machine), os.umask(umask)
    try:
        assert run(machine, "pam", "enable", "su") == 0
    finally:
        os.umask(before)
    made = [login.ours, *login.ours.rglob("[!.]*"), login.configuration, login.autostart, login.autostart.parent]
    assert {stat.S_IMODE(path.stat().st_mode) & 0o055 for path in made if path.is_dir()} == {0o055}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o644}
    login.ours.chmod(0o750)
    assert run(machine, "pam", "enable", "su") == 0
    assert stat.S_IMODE(login.ours.stat().st_mode) == 0o755


def test_the_policy_is_the_logins_too(machine: Path, card: Path) -> None:
    assert run(machine, "pair", ACCOUNT, "--certificate", str(card)) == 0
    Paths(machine).config.write_text('[policy]\ncertificates = "ca"\n')
    assert run(machine, "pam", "enable", "su") == 0
    assert "cert_policy = ca,signature;" in LoginPaths(machine).configuration.read_text()
    assert "-> root\n" not in LoginPaths(machine).mapping.read_text()  # no authority vouches for it


def test_where_sssd_is_it_is_told_and_only_root_reads_it(machine: Path, card: Path) -> None:
    login = LoginPaths(machine)
    login.sssd.mkdir()
    paths, authority = Paths(machine), Authority()
    paths.trust.mkdir(parents=True)
    (paths.trust / "authority.pem").write_bytes(authority.own.pem)
    paths.config.write_text('[policy]\ncertificates = "ca"\n')
    issued, _ = authority.issue().write(machine, "issued")
    for certificate in (card, issued):
        assert run(machine, "pair", ACCOUNT, "--certificate", str(certificate)) == 0
    assert run(machine, "pam", "enable", "su") == 0
    text = login.sssd_pairings.read_text()
    assert "pam_p11_allowed_services = +su\n" in text
    assert text.count("[certmap/") == text.count("\nmaprule = (root)\n") == 1, "only of what the authority vouches for"
    assert "<SUBJECT>^CN=Alice$" in text
    assert "certificate_verification = no_ocsp\n" in text
    assert stat.S_IMODE(login.sssd_pairings.stat().st_mode) == 0o600
    assert (login.ours / "trusted.pem").read_bytes() == authority.own.pem
    paths.config.unlink()
    assert run(machine, "pam", "enable", "su") == 0
    assert not login.sssd_pairings.exists(), "where the paired key is enough, nobody vouches for names"
    paths.config.write_text('[policy]\ncertificates = "ca"\n')
    assert run(machine, "pam", "enable", "su") == 0
    assert run(machine, "pam", "disable") == 0
    assert not login.sssd_pairings.exists()


def test_a_stack_that_others_may_write_is_not_trusted(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (machine / "etc/pam.d/su").chmod(0o666)
    assert run(machine, "pam", "enable", "su") == 2
    assert "others may write this file" in capsys.readouterr().err


def test_a_session_will_watch_for_its_card(machine: Path) -> None:
    assert run(machine, "pam", "enable", "su") == 0
    (line,) = [line for line in LoginPaths(machine).autostart.read_text().splitlines() if line.startswith("Exec=")]
    command = line.removeprefix("Exec=").split()
    assert command[1:] == ["pam", "watch-removal"]
    assert os.access(command[0], os.X_OK)
