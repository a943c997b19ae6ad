"""The results as a Markdown table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from benchmarks import targets
from benchmarks.keys import KeyKind
from benchmarks.measure import Cell, Operation, Results

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

Row = tuple[Cell, ...]
"""One operation of one path with one kind of key, at rising round-trip times."""


def to_json(results: Results, machine: Sequence[str]) -> bytes:
    """Everything measured, with each cell's median, limit and verdict."""
    cells = [
        msgspec.to_builtins(cell)
        | {
            "median_ms": cell.median_ms,
            "limit_ms": targets.limit_ms(cell, results),
            "is_met": targets.is_met(cell, results),
        }
        for cell in results.cells
    ]
    document = msgspec.to_builtins(results) | {"machine": list(machine), "cells": cells}
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"


def to_markdown(results: Results, machine: Sequence[str]) -> str:
    """The table, the card's own time, the machine, and what is missing."""
    rtts = sorted({cell.rtt_ms for cell in results.cells})
    lines = [
        "Medians in milliseconds, by round-trip time R.",
        "",
        f"| operation | path | key | {' | '.join(f'R = {rtt:g}' for rtt in rtts)} | round trips | target | verdict |",
        f"|---|---|---|{'---:|' * len(rtts)}---:|---|---|",
        *(_row_line(row, rtts, results) for row in rows(results.cells)),
        "",
        *_notes(results, machine),
    ]
    return "\n".join(lines) + "\n"


def rows(cells: Iterable[Cell]) -> list[Row]:
    """Cells in the order of the table: by operation, then by kind of key, with ours last."""
    operations, kinds = list(Operation), list(KeyKind)

    def place(cell: Cell) -> tuple[int, int, bool, str]:
        kind = kinds.index(cell.kind)
        return operations.index(cell.operation), kind, cell.path.startswith(targets.TYPED_PIN), cell.path

    ordered = sorted(cells, key=lambda cell: (*place(cell), cell.rtt_ms))
    return [tuple(group) for _, group in groupby(ordered, key=place)]


def write_between_markers(page: Path, markdown: str) -> None:
    """Put the results between the page's markers."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{page} has no markers for the results")
    page.write_text(f"{before}{BEGIN}\n\n{markdown}\n{END}{after}")


def _row_line(row: Row, rtts: Sequence[float], results: Results) -> str:
    first = row[0]
    medians = {cell.rtt_ms: milliseconds(cell.median_ms) for cell in row}
    columns = [
        first.operation,
        first.path,
        first.kind,
        *(medians.get(rtt, "") for rtt in rtts),
        f"{row[-1].round_trips:g}",
        _target(row, results),
        _verdict(row, results),
    ]
    return f"| {' | '.join(columns)} |"


def milliseconds(value: float) -> str:
    """Three significant digits, or whole milliseconds: ``0.42``, ``103``, ``5,035``."""
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _target(row: Row, results: Results) -> str:
    target = targets.TARGETS.get((row[0].operation, row[0].path))
    if target is None:
        return ""
    link_ms = targets.round_trip_ms(targets.JUDGED_RTT_MS, results)
    limit = target.limit_ms(link_ms, targets.card_ms(row[0], results))
    return f"{target} = {milliseconds(limit)} at R = {targets.JUDGED_RTT_MS:g}"


def _verdict(row: Row, results: Results) -> str:
    if targets.limit_ms(row[0], results) is None:
        return ""
    missed = [f"{cell.rtt_ms:g}" for cell in row if not targets.is_met(cell, results)]
    return f"not met at R = {', '.join(missed)}" if missed else "met"


def _notes(results: Results, machine: Sequence[str]) -> list[str]:
    times = [f"{time.card} {time.kind} {milliseconds(time.milliseconds)} ms" for time in results.card_times]
    links = [f"{time.milliseconds:.1f} for {time.rtt_ms:g}" for time in results.link_times]
    counts = [len(cell.runs_ms) for cell in results.cells]
    return [
        f"The card's own time C, in this run: {'; '.join(times)}.",
        f"What R really is, proxy and all (the targets' R): {', '.join(links)} ms.",
        f"{min(counts, default=0)} to {max(counts, default=0)} runs for each figure.",
        "Round trips as the proxy counted them at the longest R.",
        "",
        *(f"- {line}" for line in machine),
        *(f"- Not measured: {reason}" for reason in results.missing),
    ]
