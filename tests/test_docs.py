"""What the documents name is there."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", ["docs/walks.md", "CONTRIBUTING.md"])
def test_the_walks_and_the_table_of_places_name_code_that_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    names = re.findall(r"`(sra[\w.]*):([\w.]+)`", text)
    assert len(names) > 15
    for module in re.findall(r"\| `(sra\.[\w.]+)` \|", text):
        assert importlib.import_module(module).__doc__
    for module, path in names:
        found: object = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)


def test_there_is_a_walk_for_each_thing_that_the_product_does() -> None:
    _, *walks = re.split(r"(?m)^## ", (ROOT / "docs" / "walks.md").read_text())
    titles = [walk.splitlines()[0] for walk in walks]
    assert titles == [
        "Connect", "A key use", "A certificate", "A PIN question", "An activation", "A PAM set-up", "A screen"
    ]  # fmt: skip
    for walk in walks:
        assert len(re.findall(r"`sra[\w.]*:[\w.]+`", walk)) >= 6, walk
        for path in re.findall(r"`(reader/[\w.]+)`", walk):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_every_threat_names_the_tests_that_show_its_answer() -> None:
    threats = [line for line in (ROOT / "docs" / "security.md").read_text().splitlines() if line.startswith("| ")]
    assert len(threats) > 25
    for threat in threats:
        if threat == "| threat | answer | shown by |":
            continue
        cells = threat.strip("|").split(" | ")
        assert len(cells) == 3, threat
        shown = re.findall(r"`([\w/]+\.py)::(\w+)`", cells[2])
        assert shown, threat
        for path, test in shown:
            assert test in _functions(ROOT / "tests" / path), f"{path}::{test}"


def _functions(path: Path) -> set[str]:
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, definitions)}
