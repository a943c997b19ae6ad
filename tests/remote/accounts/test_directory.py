import asyncio
import pwd
from pathlib import Path

import pytest

from sra.errors import SraError, UsageError
from sra.remote.accounts.directory import (
    MAX_ANSWERS,
    Accounts,
    AnswerCache,
    DirectoryError,
    LocalAccount,
    LocalDirectory,
    decode,
    find_local,
)

ALICE: Accounts = frozenset({"alice"})

NOBODY: Accounts = frozenset()

PEOPLE = b"""
[alice]
"dsAttrTypeStandard:AltSecurityIdentities" = ["Kerberos:alice@EXAMPLE.COM", "Kerberos:alice@OLD.EXAMPLE"]
userPrincipalName = ["alice@example.com"]

[bob]
altSecurityIdentities = ["Kerberos:bob@EXAMPLE.COM"]
userPrincipalName = ["shared@example.com"]

[carol]
"dsAttrTypeNative:userPrincipalName" = ["shared@example.com"]
"""


class Directory:
    """A clock, and what is asked at which time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.answer: Accounts | DirectoryError = ALICE
        self.cache = AnswerCache(60, 5, lambda: self.now)

    def ask(self, question: object = "q") -> Accounts:
        return asyncio.run(self.cache.answer(question, self._answer))

    async def _answer(self) -> Accounts:
        self.asked += 1
        if isinstance(self.answer, DirectoryError):
            raise self.answer
        return self.answer


def test_an_answer_is_good_for_its_time_and_no_longer() -> None:
    directory = Directory()
    assert [directory.ask(), directory.ask()] == [ALICE, ALICE]
    directory.now = 59.9
    directory.answer = NOBODY
    assert directory.ask() == ALICE
    assert directory.asked == 1
    directory.now = 60
    assert directory.ask() == NOBODY
    assert directory.asked == 2


def test_nobody_is_remembered_for_a_shorter_time() -> None:
    directory = Directory()
    directory.answer = NOBODY
    assert directory.ask() == NOBODY
    directory.answer = ALICE
    directory.now = 4.9
    assert directory.ask() == NOBODY
    directory.now = 5
    assert directory.ask() == ALICE


def test_an_error_is_not_remembered_and_does_not_bring_an_old_answer_back() -> None:
    directory = Directory()
    directory.ask()
    directory.now = 61
    directory.answer = DirectoryError("down")
    for _ in range(2):
        with pytest.raises(DirectoryError):
            directory.ask()
    assert directory.asked == 3
    directory.answer = NOBODY
    assert directory.ask() == NOBODY


def test_the_oldest_answers_make_room() -> None:
    directory = Directory()
    for number in range(MAX_ANSWERS + 1):
        directory.ask(number)
    assert directory.asked == MAX_ANSWERS + 1
    directory.ask(1)
    assert directory.asked == MAX_ANSWERS + 1
    directory.ask(0)
    assert directory.asked == MAX_ANSWERS + 2


@pytest.fixture
def directory(tmp_path: Path) -> LocalDirectory:
    (tmp_path / "attributes.toml").write_bytes(PEOPLE)
    return LocalDirectory(tmp_path / "attributes.toml")


def find(directory: LocalDirectory, attribute: str, value: str) -> set[str]:
    return set(asyncio.run(directory.find(attribute, value)))


def test_an_attribute_may_have_several_values(directory: LocalDirectory) -> None:
    for value in ("Kerberos:alice@EXAMPLE.COM", "Kerberos:alice@OLD.EXAMPLE"):
        assert find(directory, "altSecurityIdentities", value) == {"alice"}
    assert find(directory, "altsecurityidentities", "Kerberos:bob@EXAMPLE.COM") == {"bob"}


def test_everybody_who_has_the_value_is_found(directory: LocalDirectory) -> None:
    assert find(directory, "userPrincipalName", "shared@example.com") == {"bob", "carol"}


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("altSecurityIdentities", "Kerberos:alice@example.com"),
        ("altSecurityIdentities", "Kerberos:alice@EXAMPLE.COM "),
        ("altSecurityIdentities", "alice@EXAMPLE.COM"),
        ("altSecurityIdentities", "*"),
        ("mail", "alice@example.com"),
    ],
)
def test_only_the_exact_value_of_the_attribute_counts(directory: LocalDirectory, attribute: str, value: str) -> None:
    assert find(directory, attribute, value) == set()


def test_the_machine_knows_names_and_numbers(tmp_path: Path) -> None:
    directory = LocalDirectory(tmp_path / "none")
    assert find(directory, "uid", "root") == {"root"}
    assert find(directory, "uidNumber", "0") == {"root"}
    for name in ("nobody-has-this-name", "", "ROOT", "../root", "root\0"):
        assert find(directory, "uid", name) == set()
    for number in ("00", "-0", "+0", " 0", "0x0", "", "9" * 30, "-1", "٠"):
        assert find(directory, "uidNumber", number) == set()


def test_a_full_name_opens_nothing_since_people_may_change_their_own(tmp_path: Path) -> None:
    assert pwd.getpwnam("root").pw_gecos == "root"
    assert find(LocalDirectory(tmp_path / "none"), "cn", "root") == set()


@pytest.mark.parametrize(
    "entry",
    [
        "bob = 1", "[bob]\nmail = 'a'", "[bob]\nmail = [1]", "['../root']\nmail = ['a']",
        "[bob]\n'dsAttrTypeStandard:Nonsense' = ['a']", "[bob]\n'uid=*' = ['a']",
    ],
)  # fmt: skip
def test_one_bad_entry_stops_no_other_and_is_named(entry: str, caplog: pytest.LogCaptureFixture) -> None:
    assert decode(f"{entry}\n[alice]\nmail = ['b']\n".encode()) == {("mail", "b"): frozenset({"alice"})}
    assert "are not used" in caplog.text


@pytest.mark.parametrize("data", [b"=", b"\xff", b"a=" + b"[" * 10000])
def test_a_damaged_file_is_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "attributes.toml").write_bytes(data)
    with pytest.raises(UsageError):
        decode(data)
    with pytest.raises(SraError, match=r"attributes\.toml"):
        find(LocalDirectory(tmp_path / "attributes.toml"), "uid", "root")


def test_root_is_there() -> None:
    assert find_local("root") == LocalAccount("root", 0)


def test_an_account_that_is_not_there_is_said_so() -> None:
    with pytest.raises(UsageError, match="no account nobody-has-this-name"):
        find_local("nobody-has-this-name")


@pytest.mark.parametrize("name", ["", "0", "root\0", "../root", "root\n", "-r"])
def test_what_could_not_be_an_account_is_not_even_looked_up(name: str) -> None:
    with pytest.raises(UsageError, match="can't be an account"):
        find_local(name)
