"""Manual pages: the Markdown of docs/man as roff (man(7)).

A page begins with ``# name(section) - what it is``. There are ``## Headings``, paragraphs, ``**bold**``, ``*italic*``,
code in backquotes, examples indented by four spaces, and terms, a line each, with ``: `` and an indented text below.
A line ``{commands}`` becomes the commands of ``sra`` with their options, as the program itself has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TITLE = re.compile(r"# (?P<name>[\w.-]+)\((?P<section>\d)\) - (?P<what>.+)")
_INLINE = (
    (re.compile(r"`([^`]+)`"), r"\\fB\1\\fR"),
    (re.compile(r"\*\*([^*]+)\*\*"), r"\\fB\1\\fR"),
    (re.compile(r"\*([^*]+)\*"), r"\\fI\1\\fR"),
    (re.compile(r"\[([^]]+)\]\([^)]+\)"), r"\1"),
)
_CHARACTERS = {"“": r"\(lq", "”": r"\(rq", "…": "...", "’": r"\(cq", "–": r"\(en", "→": r"\(->", "·": r"\(bu"}


def file_name(markdown: str) -> str:
    """The page's file, such as ``srad.8``."""
    found = _title(markdown)
    return f"{found['name']}.{found['section']}"


def roff(markdown: str, version: str, commands: str = "") -> str:
    """The page; ``commands`` is put where it asks for it."""
    found = _title(markdown)
    text = markdown.split("\n", 1)[1].replace("{commands}", commands)
    head = [
        f'.TH "{found["name"].upper()}" "{found["section"]}" "" "Secure Remote Access {version}"',
        ".nh",
        ".SH NAME",
        rf"{found['name']} \- {_inline(found['what'])}",
    ]
    blocks = re.split(r"\n{2,}", text.strip("\n"))
    return "\n".join([*head, *(line for block in blocks for line in _block(block))]) + "\n"


def commands_of(command: Any, name: str) -> str:
    """Every command below ``command`` (of click), in the Markdown of a page."""
    below = getattr(command, "commands", None)
    if below:
        return "\n\n".join(commands_of(each, f"{name} {word}") for word, each in sorted(below.items()))
    arguments = " ".join(
        each.metavar or each.name.upper() for each in command.params if each.param_type_name == "argument"
    )
    help_text = re.split(r"\n\s*Example", command.help or "")[0]
    lines = [f"### {name} {arguments}".rstrip(), *(" ".join(part.split()) for part in help_text.split("\n\n"))]
    return "\n\n".join([*filter(None, lines), *_options(command)])


def _options(command: Any) -> Iterator[str]:
    for each in command.params:
        if each.param_type_name != "option" or each.name == "help":
            continue
        names = ", ".join(f"**{name}**" for name in (*each.opts, *each.secondary_opts))
        value = "" if each.is_flag else f" *{each.metavar or each.name.upper()}*"
        yield f"{names}{value}\n: {each.help or ''}"


def _title(markdown: str) -> re.Match[str]:
    found = TITLE.match(markdown)
    if found is None:
        raise ValueError("a page begins with “# name(section) - what it is”")
    return found


def _block(block: str) -> Iterator[str]:
    """One paragraph, heading, example or list of terms."""
    lines = block.split("\n")
    if block.startswith("### "):
        yield f'.SS "{_inline(block[4:])}"'
    elif block.startswith("## "):
        heading = block[3:]
        yield f'.SH "{_inline(heading if heading.startswith("[") else heading.upper())}"'
    elif all(line.startswith("    ") for line in lines):
        yield from (".PP", ".RS 4", ".nf", *(_escape(line[4:]) for line in lines), ".fi", ".RE")
    elif any(line.startswith(": ") for line in lines):
        yield from _terms(lines)
    else:
        yield from (".PP", *map(_inline, lines))


def _terms(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith((": ", "  ")):
            yield _inline(line[2:])
        else:
            yield from (".TP", _inline(line))


def _inline(text: str) -> str:
    text = _escape(text)
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return text


def _escape(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-")
    for character, name in _CHARACTERS.items():
        text = text.replace(character, name)
    return rf"\&{text}" if text.startswith((".", "'")) else text


def read_pages(folder: Path) -> list[str]:
    """The pages in a folder, as Markdown."""
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))]
