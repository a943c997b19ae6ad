"""The person's own rules: ``rules.toml``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from sra.admin.guard import key_rules as rules
from sra.admin.guard.key_rules import KeyRule
from sra.errors import UsageError
from sra.system import files

MAX_FILE = 256 * 1024
"""Bytes of ``rules.toml``: a thousand rules."""
_HEADER = """\
# Which key which remote may use, and when you are asked. The first rule that fits decides; then the defaults do.
# Answers: ask, ask once, ask every N minutes, allow, deny. Keys: 9A 9C 9D 9E 82 to 95, retired.
"""


def load(path: Path) -> tuple[KeyRule, ...]:
    """The person's rules; raise ``UsageError`` if the file is damaged: then nothing is allowed."""
    content = files.read_trusted(path, MAX_FILE)
    return () if content is None else rules.parse_file(content.data, str(path))


def write(path: Path, own: Sequence[KeyRule]) -> None:
    """Write the rules; what stood round the table in the file stays, as far as it is a comment at its top."""
    content = files.read_trusted(path, MAX_FILE)
    try:
        document = tomlkit.parse(content.data if content else _HEADER.encode())
    except TOMLKitError as error:
        raise UsageError(f"{path}: {error}. Correct it, and try again.") from error
    document.pop("rule", None)
    tables = tomlkit.aot()
    for rule in own:
        table = tomlkit.table()
        table.update({"remote": rule.remote, "keys": list(rule.keys), "answer": rule.answer})
        tables.append(table)
    if own:
        document.append("rule", tables)
    data = tomlkit.dumps(document).encode()
    if rules.parse_file(data, str(path)) != tuple(own):
        raise UsageError(f"{path} has a form that can't be changed by program: edit it by hand.")
    files.replace(path, data, 0o600)
