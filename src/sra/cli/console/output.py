"""What the commands print: tables for people, JSON for programs, errors on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from sra.checks import Finding
from sra.logs import clean

MAX_CELL = 512
"""Characters of one cell: more than any fingerprint, subject or path."""
MAX_TEXT = 600
"""Characters of a finding that are shown: the longest text of an error, and some to spare."""


def print_json(value: Any) -> None:
    """Print a value (dicts, lists, structs, dataclasses, dates) as indented JSON."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str = "") -> None:
    """Print rows in columns as wide as what is in them, nothing cut off; ``empty``, if given, where there are none."""
    if not rows and empty:
        sys.stdout.write(f"{empty}\n")
        return
    cells = [list(columns), *([clean(str(cell), MAX_CELL) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(f"{line.rstrip()}\n")


def print_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Print a name and a value in each line, the values under each other."""
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        sys.stdout.write(f"{name:<{width}}  {clean(str(value), MAX_CELL)}\n")


def print_note(text: str) -> None:
    """Tell the person something beside the result, on stderr."""
    sys.stderr.write(f"sra: {text}\n")


def print_findings(findings: Sequence[Finding], *, as_json: bool) -> bool:
    """Print the findings; whether everything is right."""
    if as_json:
        print_json(findings)
    else:
        width = max((len(finding.check) for finding in findings), default=0)
        for finding in findings:
            sys.stdout.writelines(f"{line}\n" for line in _finding_lines(finding, width))
    return all(finding.ok for finding in findings)


def _finding_lines(finding: Finding, width: int) -> list[str]:
    mark = "ok   " if finding.ok else "WRONG"
    first = f"{mark}  {finding.check:<{width}}  {clean(' '.join(finding.text.split()), MAX_TEXT)}"
    return [first, f"{'':{width + 7}}  run: {finding.command}"] if finding.command and not finding.ok else [first]
