"""The table, the JSON, the verdicts, and the place in the page."""

import json
from pathlib import Path

import pytest

from benchmarks import report, targets
from benchmarks.__main__ import joined
from benchmarks.keys import KeyKind
from benchmarks.measure import CardTime, Cell, LinkTime, Operation, Results

RSA = KeyKind.RSA_2048
CARD = CardTime(targets.OUR_CARD, RSA, 2.0)


def cell(path: str, rtt_ms: float, *runs_ms: float, operation: Operation = Operation.STEADY) -> Cell:
    return Cell(operation, path, RSA, rtt_ms, runs_ms, 1)


def line(markdown: str, path: str) -> str:
    return next(line for line in markdown.splitlines() if f"| {path} |" in line)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4178, "0.42"), (9.99, "9.99"), (10, "10.0"), (51.77, "51.8"), (102.6, "103"), (5035.2, "5,035")],
)
def test_milliseconds_have_three_digits_or_are_whole(value: float, text: str) -> None:
    assert report.milliseconds(value) == text


def test_a_figure_is_the_median_of_its_runs() -> None:
    markdown = report.to_markdown(Results((cell("ssh", 0, 1, 2, 900),)), [])
    assert line(markdown, "ssh") == "| steady signature | ssh | RSA-2048 | 2.00 | 1 |  |  |"


def test_a_target_is_round_trips_and_the_cards_time_and_a_constant() -> None:
    assert targets.limit_ms(cell(targets.TYPED_PIN, 100, 1), Results(card_times=(CARD,))) == 100 + 2 + 3


def test_a_targets_round_trip_is_what_the_link_really_takes() -> None:
    results = Results(card_times=(CARD,), link_times=(LinkTime(20, 20.5), LinkTime(100, 100.8)))
    assert targets.limit_ms(cell(targets.TYPED_PIN, 100, 1), results) == 100.8 + 2 + 3


def test_the_table_shows_the_target_and_that_it_is_met() -> None:
    results = Results((cell(targets.TYPED_PIN, 0, 4.9), cell(targets.TYPED_PIN, 100, 104.9)), (CARD,))
    assert line(report.to_markdown(results, []), "ours").endswith("| 1R + C + 3 ms = 105 at R = 100 | met |")


def test_the_table_says_where_a_target_is_not_met() -> None:
    results = Results((cell(targets.TYPED_PIN, 0, 5.1), cell(targets.TYPED_PIN, 100, 104.9)), (CARD,))
    assert line(report.to_markdown(results, []), "ours").endswith("| not met at R = 0 |")


def test_peers_have_no_target() -> None:
    assert targets.is_met(cell("ssh", 100, 1), Results(card_times=(CARD,))) is None


def test_ours_comes_last_in_each_operation() -> None:
    cells = [
        cell(path, 0, 1, operation=operation)
        for operation in (Operation.STEADY, Operation.LIST)
        for path in (targets.TYPED_PIN, "ssh", "p11-kit", targets.PIN_PAD)
    ]
    assert [(row[0].operation, row[0].path) for row in report.rows(cells)] == [
        (operation, path)
        for operation in (Operation.LIST, Operation.STEADY)
        for path in ("p11-kit", "ssh", targets.TYPED_PIN, targets.PIN_PAD)
    ]


def test_a_round_trip_time_that_was_not_measured_is_left_empty() -> None:
    results = Results((cell("ssh", 0, 1), cell("p11-kit", 100, 1)))
    assert line(report.to_markdown(results, []), "ssh").startswith("| steady signature | ssh | RSA-2048 | 1.00 |  |")


def test_what_is_missing_is_said() -> None:
    assert "- Not measured: ours" in report.to_markdown(Results(missing=("ours",)), ["2 cores"])


def test_the_json_holds_every_run_and_the_verdict() -> None:
    document = json.loads(report.to_json(Results((cell(targets.TYPED_PIN, 100, 104, 105, 106),), (CARD,)), ["2 cores"]))
    assert document["machine"] == ["2 cores"]
    assert document["cells"][0]["runs_ms"] == [104, 105, 106]
    assert document["cells"][0]["limit_ms"] == 105
    assert document["cells"][0]["is_met"] is True


def test_results_of_several_worlds_become_one_and_a_cards_time_is_said_once() -> None:
    link = Results(link_times=(LinkTime(100, 100.8),))
    first = Results((cell("ssh", 0, 1),), (CARD,))
    second = Results((cell("p11-kit", 0, 1),), (CardTime(targets.OUR_CARD, RSA, 9.0),), missing=("that",))
    everything = Results((*first.cells, *second.cells), (CARD,), link.link_times, ("that",))
    assert joined([link, first, second]) == everything


def test_results_replace_what_was_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_between_markers(page, "new\n")
    assert page.read_text() == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"


def test_a_page_without_markers_is_not_touched(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n")
    with pytest.raises(ValueError, match="no markers"):
        report.write_between_markers(page, "new\n")
    assert page.read_text() == "before\n"
