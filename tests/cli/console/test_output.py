import json
from datetime import UTC, date, datetime

import pytest

from sra.cli.console.output import print_facts, print_json, print_note, print_table
from sra.programs.run import print_error
from sra.remote.accounts.pairing_file import Pairing


def test_json_is_indented_and_takes_the_product_s_values(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(
        [Pairing("alice", "sha1:" + "ab" * 20, added=date(2026, 1, 2)), {"at": datetime(2026, 1, 2, tzinfo=UTC)}]
    )
    out = capsys.readouterr().out
    assert json.loads(out) == [
        {"account": "alice", "hash": "sha1:" + "ab" * 20, "subject": "", "added": "2026-01-02"},
        {"at": "2026-01-02T00:00:00Z"},
    ]
    assert out.startswith("[\n  {\n")


def test_a_table_has_columns_as_wide_as_their_cells(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A", "LONG", "C"), [("aaa", 1, ""), ("b", "x" * 200, date(2026, 1, 2))])
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "A    LONG" + " " * 196 + "  C"
    assert second == "aaa  1"
    assert third == "b    " + "x" * 200 + "  2026-01-02"


def test_an_empty_table_says_so_or_shows_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A", "B"), [], "nothing yet")
    print_table(("A", "B"), [])
    assert capsys.readouterr().out == "nothing yet\nA  B\n"


def test_what_others_wrote_can_not_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A",), [("x\x1b[2J\n",)])
    print_facts([("name", "x\x1b[2J\n")])
    assert capsys.readouterr().out == "A\nx?[2J?\nname  x?[2J?\n"


def test_facts_stand_under_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts([("a", 1), ("long name", "x")])
    assert capsys.readouterr().out == "a          1\nlong name  x\n"


def test_notes_and_errors_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_note("done")
    print_error("not done")
    assert capsys.readouterr() == ("", "sra: done\nsra: error: not done\n")
