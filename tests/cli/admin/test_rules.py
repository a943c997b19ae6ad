"""``sra rules``: rules are added in front, removed by number, and a damaged file allows nothing."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from sra.admin.guard import rules_file
from sra.admin.guard.key_rules import KeyRule
from sra.errors import UsageError
from sra.programs.run import status
from tests.cli.whole import app


class Person:
    """Somebody who types ``sra rules``."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = folder / "rules.toml"
        self._folder = folder
        self._capsys = capsys

    def types(self, *words: str) -> tuple[int, str]:
        """The exit status, and what is shown."""
        code = status(app, ["rules", *words, "--config-dir", str(self._folder)])
        shown = self._capsys.readouterr()
        return code, shown.out + shown.err

    def writes(self, text: str) -> None:
        self._folder.mkdir(exist_ok=True)
        self.path.write_text(text)
        self.path.chmod(0o600)

    def answer(self, remote: str, key: str) -> str:
        code, shown = self.types("test", remote, key)
        assert code == 0
        return shown.strip()


@pytest.fixture
def person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Person:
    return Person(tmp_path / "config", capsys)


def test_without_a_file_the_defaults_are_shown_and_decide(person: Person) -> None:
    code, shown = person.types("list")
    assert code == 0
    assert [line.split()[0] for line in shown.splitlines()] == ["NUMBER", "default", "default", "default"]
    assert person.answer("host", "9A") == "ask once"
    assert person.answer("host", "9c") == "ask"
    assert not person.path.exists()


def test_a_rule_that_is_added_comes_first_and_decides(person: Person) -> None:
    assert person.types("add", "*.example.com", "9A, retired", "allow")[0] == 0
    assert person.answer("host.example.com", "9A") == "allow"
    assert person.types("add", "kiosk.example.com", "9A", "ask every 5 minutes")[0] == 0
    assert person.answer("kiosk.example.com", "9A") == "ask every 5 minutes"
    assert person.answer("host.example.com", "82") == "allow"
    assert person.answer("host.example.com", "9D") == "ask once"
    assert stat.S_IMODE(person.path.stat().st_mode) == 0o600
    assert [rule.remote for rule in rules_file.load(person.path)] == ["kiosk.example.com", "*.example.com"]


def test_a_rule_is_removed_by_its_number(person: Person) -> None:
    for name in "abc":
        person.types("add", name, "9A", "deny")
    code, shown = person.types("remove", "2")
    assert (code, "removed: b, 9A: deny" in shown) == (0, True)
    assert [rule.remote for rule in rules_file.load(person.path)] == ["c", "a"]
    for _ in range(2):
        assert person.types("remove", "1")[0] == 0
    assert rules_file.load(person.path) == ()
    assert person.types("remove", "1")[0] == 2


@pytest.mark.parametrize("number", ["0", "-1", "2", "x"])
def test_a_number_that_is_none_removes_nothing(number: str, person: Person) -> None:
    person.types("add", "a", "9A", "deny")
    assert person.types("remove", number)[0] == 2
    assert len(rules_file.load(person.path)) == 1


def test_removing_where_there_are_none_says_so_and_makes_no_file(person: Person) -> None:
    code, shown = person.types("remove", "1")
    assert (code, "no rules of yours" in shown) == (2, True)
    assert not person.path.exists()


@pytest.mark.parametrize(
    "words", [("a", "9B", "deny"), ("a", "", "deny"), ("a", "9A", "perhaps"), ("a", "9A,9Z", "allow")]
)
def test_what_is_no_rule_is_not_added(words: tuple[str, str, str], person: Person) -> None:
    code, shown = person.types("add", *words)
    assert (code, "That is no rule" in shown) == (2, True)
    assert not person.path.exists()


@pytest.mark.parametrize("remote", ["", "x" * 256])
def test_a_remote_that_can_not_be_read_back_is_not_written(remote: str, person: Person) -> None:
    assert person.types("add", remote, "9A", "allow")[0] == 2
    assert not person.path.exists()


def test_comments_at_the_top_of_the_file_stay(person: Person) -> None:
    person.writes('# my own words\n\n[[rule]]\nremote = "a"\nkeys = ["9A"]\nanswer = "deny"\n')
    assert person.types("add", "b", "9A", "allow")[0] == 0
    assert person.path.read_text().startswith("# my own words\n")
    assert rules_file.load(person.path) == (KeyRule("b", ("9A",), "allow"), KeyRule("a", ("9A",), "deny"))


DAMAGED = ["[[rule", '[[rule]]\nremote = "a"\n', '[[rule]]\nremote = "a"\nkeys = ["9A"]\nanswer = "yes"\n', "rule = 7"]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_allows_nothing_and_is_left_as_it_is(text: str, person: Person) -> None:
    person.writes(text)
    with pytest.raises(UsageError, match="until then nothing is allowed"):
        rules_file.load(person.path)
    for words in (["list"], ["test", "a", "9A"], ["add", "b", "9A", "allow"], ["remove", "1"]):
        code, shown = person.types(*words)
        assert (code, "rules.toml" in shown) == (2, True)
    assert person.path.read_text() == text


def test_a_file_that_others_can_write_is_not_trusted(person: Person) -> None:
    person.types("add", "a", "9A", "allow")
    person.path.chmod(0o666)
    with pytest.raises(UsageError):
        rules_file.load(person.path)


def test_programs_get_json(person: Person) -> None:
    person.types("add", "a", "9A,9C", "ask every 5 minutes")
    code, shown = person.types("list", "--json")
    said = json.loads(shown)
    assert code == 0
    assert said["rules"] == [{"remote": "a", "keys": ["9A", "9C"], "answer": "ask every 5 minutes"}]
    assert len(said["defaults"]) == 3


@pytest.mark.parametrize("key", ["9B", "retired", "", "x"])
def test_only_a_key_can_be_asked_about(key: str, person: Person) -> None:
    assert person.types("test", "host", key)[0] == 2


def test_control_characters_of_a_name_do_nothing_to_the_terminal(person: Person) -> None:
    _, shown = person.types("add", "\x1b[31ma", "9A", "deny")
    assert "\x1b" not in shown
    assert "\x1b" not in person.types("list")[1]
