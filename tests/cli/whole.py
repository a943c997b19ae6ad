"""``sra`` with all its commands."""

from sra.cli.main import build

app = build()
