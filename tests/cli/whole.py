"""``sra`` with all its commands."""

from sra.cli.commands import build

app = build()
