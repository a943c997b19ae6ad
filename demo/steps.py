"""The steps of the demonstration, each with its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(highlight=False, emoji=False)


@contextmanager
def step(text: str) -> Iterator[list[str]]:
    """Print what is done, how long it took, and the lines that are put in the list meanwhile."""
    console.print(f"[bold]{text}[/bold] ", end="", soft_wrap=True)
    shown: list[str] = []
    begun = time.monotonic()
    yield shown
    console.print(f"[green]ok[/green] [dim]{(time.monotonic() - begun) * 1000:,.0f} ms[/dim]")
    for line in shown:
        console.print(f"    {line}", style="dim", soft_wrap=True, markup=False)
