import json
from pathlib import Path

import pytest

from sra import checks
from sra.checks import Check, Finding, NotHereError, WrongError
from sra.cli.console.output import print_findings
from sra.errors import UsageError
from sra.system.files import FileError


def broken(_: str) -> str:
    raise WrongError("It is broken.", "mend it")


def failing(_: str) -> str:
    raise UsageError("It can't be read.")


def missing(_: str) -> str:
    raise NotHereError


def hinted(_: str) -> str:
    raise FileError(Path("/etc/x"), "it can be written.", "chmod x")


def unreadable(_: str) -> str:
    raise PermissionError(13, "Permission denied", "/etc/x")


TABLE: tuple[Check[str], ...] = (
    Check("good", lambda subject: f"{subject} is good"),
    Check("broken", broken, lambda subject: f"the usual for {subject}"),
    Check("failing", failing, lambda subject: f"the usual for {subject}"),
    Check("missing", missing),
    Check("hinted", hinted, lambda subject: f"the usual for {subject}"),
    Check("unreadable", unreadable),
    Check("last", lambda _: "fine"),
)


def test_every_check_is_done_whatever_came_of_the_others() -> None:
    assert checks.run(TABLE, "it") == [
        Finding("good", True, "it is good"),
        Finding("broken", False, "It is broken.", "mend it"),
        Finding("failing", False, "It can't be read.", "the usual for it"),
        Finding("hinted", False, "/etc/x: it can be written. Run: chmod x", "chmod x"),
        Finding("unreadable", False, "[Errno 13] Permission denied: '/etc/x'", "sudo sra doctor"),
        Finding("last", True, "fine"),
    ]


def test_where_each_rests_on_the_one_before_the_first_that_is_wrong_ends_it() -> None:
    assert [finding.check for finding in checks.run_until_wrong(TABLE, "it")] == ["good", "broken"]
    assert [finding.check for finding in checks.run_until_wrong(TABLE[3:4], "it")] == []


def test_what_is_wrong_has_its_command_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    findings = [Finding("good", True, "fine", "unneeded"), Finding("broken", False, "two\nlines\x1b[2J", "mend it")]
    assert print_findings(findings, as_json=False) is False
    assert capsys.readouterr().out.splitlines() == [
        "ok     good    fine",
        "WRONG  broken  two lines?[2J",
        "               run: mend it",
    ]


def test_json_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_findings([Finding("good", True, "fine")], as_json=True) is True
    assert json.loads(capsys.readouterr().out) == [{"check": "good", "ok": True, "text": "fine", "command": ""}]
