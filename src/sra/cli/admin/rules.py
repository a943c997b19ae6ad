"""``sra rules``: which key which remote may use, and when you are asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sra.admin.guard import key_rules as rules
from sra.admin.guard import rules_file
from sra.admin.guard.key_rules import KeyRule
from sra.cli.console.options import AsJson, ConfigDir, examples
from sra.cli.console.output import print_json, print_note, print_table
from sra.errors import UsageError
from sra.logs import clean
from sra.paths import admin_paths
from sra.piv.keys import Slot
from sra.system import files

app = typer.Typer(no_args_is_help=True, help="Which key which remote may use, and when you are asked.")


@app.command("list", epilog=examples("sra rules list", "sra rules list --json"))
def list_(*, as_json: AsJson = False, config_dir: ConfigDir = None) -> None:
    """Show your rules in their order, and the defaults that come after them."""
    own = rules_file.load(_path(config_dir))
    if as_json:
        print_json({"rules": own, "defaults": rules.DEFAULTS})
        return
    rows = [(str(number), *_row(rule)) for number, rule in enumerate(own, 1)]
    rows += [("default", *_row(rule)) for rule in rules.DEFAULTS]
    print_table(("NUMBER", "REMOTE", "KEYS", "ANSWER"), rows, "")


def _row(rule: KeyRule) -> tuple[str, str, str]:
    return rule.remote, " ".join(rule.keys), rule.answer


@app.command(epilog=examples('sra rules add "*.example.com" 9A "ask every 15 minutes"', "sra rules add kiosk 9D deny"))
def add(
    remote: Annotated[str, typer.Argument(help="A remote's name as you type it at sra connect, or a pattern with *.")],
    keys: Annotated[str, typer.Argument(help="Keys, separated by commas: 9A,9C or retired.")],
    answer: Annotated[str, typer.Argument(help="ask, “ask once”, “ask every N minutes”, allow or deny.")],
    *,
    config_dir: ConfigDir = None,
) -> None:
    """Add a rule in front of the others, so that it decides."""
    try:
        rule = KeyRule(remote, tuple(key.strip() for key in keys.split(",")), answer)
    except ValueError as error:
        raise UsageError(f"That is no rule: {error}.") from error
    path = _path(config_dir)
    files.make_folder(path.parent, 0o700)
    with files.locked(path):
        rules_file.write(path, (rule, *rules_file.load(path)))
    print_note(f"added: {clean(remote)}, {' '.join(rule.keys)}: {rule.answer}")


@app.command(epilog=examples("sra rules remove 1"))
def remove(
    number: Annotated[int, typer.Argument(min=1, help="The rule's number, as “sra rules list” shows it.")],
    *,
    config_dir: ConfigDir = None,
) -> None:
    """Remove a rule."""
    path = _path(config_dir)
    if not path.exists():
        raise UsageError("There are no rules of yours.")
    with files.locked(path):
        own = list(rules_file.load(path))
        if number > len(own):
            raise UsageError(f"There is no rule {number}. “sra rules list” shows the numbers.")
        gone = own.pop(number - 1)
        rules_file.write(path, own)
    print_note(f"removed: {clean(gone.remote)}, {' '.join(gone.keys)}: {gone.answer}")


@app.command("test", epilog=examples("sra rules test remote.example.com 9A"))
def tell(
    remote: Annotated[str, typer.Argument(help="A remote's name.")],
    key: Annotated[str, typer.Argument(help="A key, such as 9A.")],
    *,
    config_dir: ConfigDir = None,
) -> None:
    """Say what would be answered when that remote asked for that key."""
    try:
        slot = Slot(int(key, 16))
    except ValueError:
        raise UsageError(f"“{clean(key)}” is no key: 9A, 9C, 9D, 9E or 82 to 95.") from None
    typer.echo(str(rules.decide(rules_file.load(_path(config_dir)), remote, slot)))


def _path(config_dir: ConfigDir) -> Path:
    return admin_paths(config_dir, os.environ).rules
