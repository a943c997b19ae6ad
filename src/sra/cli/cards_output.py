"""Printing for the card commands: JSON, or lines."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import typer


def print_json(found: object) -> None:
    """Print ``found`` as indented JSON."""
    typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a heading and the rows, in columns as wide as what is in them."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
