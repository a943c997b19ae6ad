import grp
import pwd

import pytest

from sra.remote.accounts.account_rules import AccountRules, UnknownGroupError


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account ``daemon`` is in the group ``users`` too, beside its primary one."""
    numbers = [pwd.getpwnam("daemon").pw_gid, grp.getgrnam("users").gr_gid]
    monkeypatch.setattr("os.getgrouplist", lambda name, gid: numbers if name == "daemon" else [gid])


def is_allowed(account: str, allow: tuple[str, ...] | None = None, deny: tuple[str, ...] = ()) -> bool:
    return AccountRules(allow, deny).judge(account).is_allowed


def test_without_rules_everybody_may_come() -> None:
    assert is_allowed("daemon")
    assert AccountRules().judge("daemon").reason == "no rule"


@pytest.mark.usefixtures("member")
def test_names_and_groups_of_both_kinds_count() -> None:
    for word in ("daemon", "@daemon", "@users"):
        assert is_allowed("daemon", allow=(word,))
        assert not is_allowed("root", allow=(word,))
        assert not is_allowed("daemon", deny=(word,))
        assert is_allowed("root", deny=(word,))


@pytest.mark.usefixtures("member")
def test_what_is_denied_stays_denied() -> None:
    for allow in ("daemon", "@users"):
        for deny in ("daemon", "@users", "@daemon"):
            assert not is_allowed("daemon", allow=(allow,), deny=(deny,))


def test_a_list_of_others_is_no_permission() -> None:
    assert not is_allowed("daemon", allow=("root", "@root"))
    assert not is_allowed("daemon", allow=("Daemon", "daemo", "daemon "))


def test_a_denied_group_that_can_not_be_found_lets_nobody_in() -> None:
    with pytest.raises(UnknownGroupError, match="no group nobody-has-this-group"):
        is_allowed("daemon", allow=("daemon",), deny=("@nobody-has-this-group",))


def test_an_allowed_group_that_can_not_be_found_lets_nobody_in_and_breaks_nothing() -> None:
    assert not is_allowed("daemon", allow=("@nobody-has-this-group",))
    assert is_allowed("daemon", allow=("@nobody-has-this-group", "@daemon"))


def test_the_reason_names_the_word() -> None:
    assert AccountRules(deny=("root", "@daemon")).judge("daemon").reason == "deny has @daemon"
    assert AccountRules(allow=("@daemon",)).judge("daemon").reason == "allow has @daemon"
    assert AccountRules(allow=("root",)).judge("daemon").reason == "not in allow"
    assert AccountRules(deny=("root",)).judge("daemon").reason == "not in deny"


def test_only_its_own_name_in_allow_names_an_account() -> None:
    assert AccountRules(allow=("root",)).names("root")
    assert not AccountRules(allow=("@root",)).names("root")
    assert not AccountRules().names("root")
