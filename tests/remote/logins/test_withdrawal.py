"""What is left in the logins when one of them, or the product, goes: nothing, whatever was edited meanwhile."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sra.cli.console.output import print_note
from sra.errors import UsageError
from sra.remote.logins import withdrawal
from sra.remote.logins.login_paths import LoginPaths
from tests.cli.login_machine import ACCOUNT, STACK, make_card, make_machine, run, states, tree


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    return make_machine(tmp_path / "machine")


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return make_card(tmp_path / "card")


def edit(path: Path, old: str, new: str) -> str:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return path.read_text()


def test_one_that_was_edited_keeps_no_other_from_being_disabled(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(machine, "pam", "enable", "su", "sudo", "polkit-1") == 0
    edited = edit(machine / "etc/pam.d/su", "default=die", "default=bad")
    assert run(machine, "pam", "disable") == 2
    assert "of su between" in capsys.readouterr().err
    assert states(machine, capsys) == {"login": "off", "su": "edited by hand", "sudo": "off", "polkit-1": "off"}
    assert (machine / "etc/pam.d/su").read_text() == edited
    assert LoginPaths(machine).mapping.exists()  # su still asks for cards


@pytest.mark.parametrize("card_only", [[], ["--card-only"]])
def test_before_the_product_goes_every_file_is_as_it_was(machine: Path, card: Path, card_only: list[str]) -> None:
    assert run(machine, "pair", ACCOUNT, "--certificate", str(card)) == 0
    before = tree(machine)
    assert run(machine, "pam", "enable", *card_only, "su", "sudo", "polkit-1") == 0
    assert withdrawal.put_back(LoginPaths(machine), print_note)
    assert tree(machine) == before
    assert not withdrawal.put_back(LoginPaths(machine), print_note)


EDITS: dict[str, Callable[[str], str]] = {
    "in the block": lambda text: text.replace("default=die", "default=bad"),
    "a former line that is gone": lambda text: text.replace("#sra# @include common-auth\n", ""),
    "its end": lambda text: text.replace("# <<< sra pam\n", ""),
    "a copy of it": lambda text: text + text,
}


@pytest.mark.parametrize("how", EDITS)
def test_one_that_was_edited_asks_for_the_password_again_and_is_kept_aside(
    machine: Path, card: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(machine, "pair", ACCOUNT, "--certificate", str(card)) == 0
    assert run(machine, "pam", "enable", "--card-only", "su", "sudo") == 0
    stack, login = machine / "etc/pam.d/su", LoginPaths(machine)
    edited = EDITS[how](stack.read_text())
    stack.write_text(edited)
    assert withdrawal.put_back(login, print_note)
    assert (stack.read_text(), (machine / "etc/pam.d/sudo").read_text()) == (STACK, f"# sudo\n{STACK}")
    assert (login.before / "edited/pam.d/su").read_text() == edited
    assert "edited by hand, and the edited file is in" in capsys.readouterr().err
    assert not login.ours.exists()


def test_what_stands_around_an_edited_block_stays(machine: Path) -> None:
    assert run(machine, "pam", "enable", "su") == 0
    edit(machine / "etc/pam.d/su", "default=die", "default=bad")
    edit(machine / "etc/pam.d/su", "@include common-account", "session optional pam_new.so\n@include common-account")
    assert withdrawal.put_back(LoginPaths(machine), print_note)
    assert (machine / "etc/pam.d/su").read_text() == STACK.replace(
        "@include common-account", "session optional pam_new.so\n@include common-account"
    )


def test_one_that_can_not_be_put_back_is_named_with_the_next_step_and_nothing_else_is_removed(machine: Path) -> None:
    assert run(machine, "pam", "enable", "su", "sudo") == 0
    (machine / "etc/pam.d/su").chmod(0o666)
    with pytest.raises(UsageError, match="chmod go-w"):
        withdrawal.put_back(LoginPaths(machine), print_note)
    assert (machine / "etc/pam.d/sudo").read_text() == f"# sudo\n{STACK}"
    assert LoginPaths(machine).mapping.exists()
    (machine / "etc/pam.d/su").chmod(0o644)
    assert withdrawal.put_back(LoginPaths(machine), print_note)
    assert (machine / "etc/pam.d/su").read_text() == STACK


def test_what_others_keep_in_the_folder_of_stacks_is_in_nobodys_way(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(machine)
    assert run(machine, "pam", "enable", "su") == 0
    (machine / "etc/pam.d/su~").write_text(STACK)
    (machine / "etc/pam.d/theirs").write_text("auth required pam_deny.so\n")
    (machine / "etc/pam.d/theirs").chmod(0o664)
    (machine / "etc/pam.d/linked").symlink_to("su")
    assert withdrawal.put_back(LoginPaths(machine), print_note)
    for name in ("su~", "theirs", "linked"):
        (machine / "etc/pam.d" / name).unlink()
    assert tree(machine) == before


def test_settings_of_a_former_version_that_were_edited_give_way_to_those_before(machine: Path) -> None:
    login = LoginPaths(machine)
    assert run(machine, "pam", "enable", "su") == 0
    text = login.configuration.read_text()
    login.default_configuration.write_text(text)
    edited = edit(login.default_configuration, "nullok = false", "nullok = true")
    login.former_configuration.write_text("their own\n")
    assert withdrawal.put_back(login, print_note)
    assert (login.edited / "pam_pkcs11.conf").read_text() == edited
    assert login.default_configuration.read_text() == "their own\n"
