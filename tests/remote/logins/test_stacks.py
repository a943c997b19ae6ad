from __future__ import annotations

import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import UsageError
from sra.remote.logins import stacks
from sra.remote.logins.stacks import KNOWN, Service, StackRequest, StackState, service_of

SU = "# su\nauth sufficient pam_rootok.so\n@include common-auth\nsession optional pam_x.so\n@include common-account\n"
LIGHTDM = "auth requisite pam_nologin.so\nsession required pam_env.so\n@include common-auth\n-auth optional pam_x.so\n"
FEDORA = "#%PAM-1.0\nauth       substack     system-auth # all of it\naccount include system-auth\n"
ANNOUNCE = "/usr/lib/x/sra-announce /run/sra/daemon/announce"


SETTINGS = "/etc/x.conf"


def wish(name: str = "su", *, card_only: bool = False, from_network: bool = False) -> StackRequest:
    return StackRequest(service_of(name), ANNOUNCE, SETTINGS, card_only, from_network)


def active(text: str) -> list[str]:
    """What PAM reads of it, without what belongs to sessions and accounts."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line.startswith(("auth", "-auth", "@include common-auth"))]


def test_the_card_goes_first_and_the_password_stays() -> None:
    lines = active(stacks.enabled(SU, wish()))
    assert lines[0] == "auth sufficient pam_rootok.so"
    assert lines[1] == f"auth [success=ignore default=2] pam_exec.so seteuid quiet {ANNOUNCE}"
    assert lines[2].startswith("auth [success=ok authinfo_unavail=1 ")
    assert lines[2].endswith("default=die] pam_pkcs11.so config_file=/etc/x.conf")
    assert lines[3:] == ["auth [default=1] pam_permit.so", "auth substack common-auth"]


def test_from_elsewhere_the_card_is_asked_only_where_that_is_wished() -> None:
    """Two lines further is the password's; without one, the login ends."""
    lines = active(stacks.enabled(SU, wish()))
    assert lines[lines.index(f"auth [success=ignore default=2] pam_exec.so seteuid quiet {ANNOUNCE}") + 3] == (
        "auth substack common-auth"
    )
    only = active(stacks.enabled(SU, wish(card_only=True)))
    assert only[1] == f"auth [success=ignore default=die] pam_exec.so seteuid quiet {ANNOUNCE}"
    anywhere = stacks.enabled(SU, wish(from_network=True))
    assert active(anywhere)[1] == f"auth [default=ignore] pam_exec.so seteuid quiet {ANNOUNCE} from-network"
    assert [stacks.asks_from_network(text) for text in (SU, stacks.enabled(SU, wish()), anywhere)] == [
        False,
        False,
        True,
    ]


def test_card_only_has_no_other_way() -> None:
    text = stacks.enabled(SU, wish(card_only=True))
    assert active(text)[2:] == ["auth [success=ok default=die] pam_pkcs11.so config_file=/etc/x.conf"]
    assert stacks.state_of(text) is StackState.CARD_ONLY


def test_at_the_login_window_the_card_comes_before_nologin_which_still_counts() -> None:
    lines = active(stacks.enabled(LIGHTDM, wish("lightdm")))
    assert "pam_pkcs11.so" in lines[1]
    assert lines[2:] == [
        "auth [default=1] pam_permit.so",
        "auth substack common-auth",
        "auth requisite pam_nologin.so",
        "-auth optional pam_x.so",
    ]


def test_elsewhere_nologin_stays_where_it_is() -> None:
    assert active(stacks.enabled(LIGHTDM, wish("login")))[0] == "auth requisite pam_nologin.so"


def test_the_locked_screen_gets_fewer_messages() -> None:
    assert "pam_pkcs11.so config_file=/etc/x.conf quiet" in stacks.enabled(SU, wish("xscreensaver"))


def test_fedoras_stack_is_known_too() -> None:
    text = stacks.enabled(FEDORA, wish())
    assert active(text)[-1] == "auth substack system-auth"
    assert stacks.disabled(text, service_of("su")) == FEDORA


@pytest.mark.parametrize("service", [each.name for each in KNOWN])
@pytest.mark.parametrize("text", [SU, LIGHTDM, FEDORA, SU.rstrip("\n"), SU.replace("\n", "\r\n")[:-2] + "\n\n"])
@pytest.mark.parametrize("card_only", [True, False])
def test_taking_it_out_leaves_the_very_same_text(service: str, text: str, card_only: bool) -> None:
    changed = stacks.enabled(text, wish(service, card_only=card_only))
    assert changed != text
    assert stacks.state_of(text) is StackState.OFF
    assert stacks.disabled(changed, service_of(service)) == text


@given(before=st.text(string.printable.replace("\r", "")), after=st.text(string.printable.replace("\r", "")))
def test_whatever_stands_around_it_comes_back(before: str, after: str) -> None:
    text = f"{before}\n@include common-auth\n{after}"
    try:
        changed = stacks.enabled(text, wish("lightdm"))
    except UsageError:
        assert before.count("auth") + after.count("auth") > 0
        return
    assert stacks.disabled(changed, service_of("lightdm")) == text


def test_doing_it_twice_changes_nothing_and_another_wish_replaces_it() -> None:
    once = stacks.enabled(SU, wish())
    assert stacks.enabled(once, wish()) == once
    only = stacks.enabled(once, wish(card_only=True))
    assert stacks.state_of(only) is StackState.CARD_ONLY
    assert only == stacks.enabled(SU, wish(card_only=True))


def test_what_others_change_around_it_stays() -> None:
    changed = stacks.enabled(SU, wish()) + "session optional pam_new.so\n"
    assert stacks.state_of(changed) is StackState.CARD_OR_PASSWORD
    assert stacks.disabled(changed, service_of("su")) == SU + "session optional pam_new.so\n"


EDITS: dict[str, Callable[[str], str]] = {
    "a line of the block": lambda text: text.replace("default=die", "default=ignore"),
    "one more line in the block": lambda text: text.replace("# <<<", "auth required pam_x.so\n# <<<"),
    "a former line": lambda text: text.replace("#sra# @include common-auth", "#sra# @include other"),
    "a former line that is gone": lambda text: text.replace("#sra# @include common-auth\n", ""),
    "its end": lambda text: text.replace("# <<< sra pam\n", ""),
    "its beginning": lambda text: "".join(line for line in text.splitlines(True) if not line.startswith("# >>>")),
    "its mark": lambda text: text.replace("[", "(", 1).replace("]", ")", 1),
    "a copy of it": lambda text: text + text,
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_block_that_was_edited_is_left_alone(edit: str) -> None:
    edited = EDITS[edit](stacks.enabled(SU, wish()))
    assert stacks.state_of(edited) is StackState.EDITED
    with pytest.raises(UsageError, match="edited by hand"):
        stacks.disabled(edited, service_of("su"))
    with pytest.raises(UsageError, match="edited by hand"):
        stacks.enabled(edited, wish())


IN_THE_BLOCK = ("a line of the block", "one more line in the block", "its mark")


@pytest.mark.parametrize("edit", EDITS)
def test_a_block_that_was_edited_is_taken_out_in_the_end_if_a_password_is_asked_then(edit: str) -> None:
    text = stacks.put_back(EDITS[edit](stacks.enabled(SU, wish(card_only=True))))
    expected = {**dict.fromkeys(IN_THE_BLOCK, SU), "a former line": None}
    assert text == expected.get(edit)


def test_an_edit_around_an_edited_block_stays() -> None:
    changed = EDITS["a line of the block"](stacks.enabled(SU, wish())) + "session optional pam_new.so\n"
    assert stacks.put_back(changed) == SU + "session optional pam_new.so\n"
    assert stacks.put_back(SU) == SU


@pytest.mark.parametrize("edit", EDITS)
def test_it_is_seen_that_a_block_was_there_whatever_was_edited(edit: str) -> None:
    assert stacks.has_ours(EDITS[edit](stacks.enabled(SU, wish())))
    assert not stacks.has_ours(SU)


@pytest.mark.parametrize("text", ["", "auth required pam_unix.so\n", "@include common-auth\n@include common-auth\n"])
def test_a_stack_whose_password_can_not_be_found_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="where the card belongs is not clear"):
        stacks.enabled(text, wish())


@pytest.mark.parametrize("name", ["", "../passwd", "a/b", "-x", ".hidden", "a b", "x" * 80])
def test_what_can_not_be_a_service_is_none(name: str) -> None:
    with pytest.raises(UsageError):
        service_of(name)


def test_sshd_is_not_among_those_that_are_known() -> None:
    assert service_of("sshd") == Service("sshd", "")
    assert service_of("sshd") not in KNOWN
