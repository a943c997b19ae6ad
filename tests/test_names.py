"""One name means one thing in the whole package: no public type's name and no file's name stands twice."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src" / "sra"
SAME_PART = {
    "__init__.py",
    "backend.py",  # one for each way to a card
    "build.py",  # one for each of the two machines
}
"""Files that have the same part in several rooms; a file in ``cli`` bears the name of its command besides."""


def _public_types(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        else:
            continue
        if name[0].isupper() and not name.isupper():
            yield name


def test_no_public_type_has_the_name_of_another() -> None:
    places = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        for name in _public_types(path):
            places[name].append(str(path.relative_to(SOURCE)))
    assert len(places) > 300
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_file_has_the_name_of_another() -> None:
    places = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        if path.name not in SAME_PART and "cli" not in path.relative_to(SOURCE).parts:
            places[path.name].append(str(path.relative_to(SOURCE)))
    assert len(places) > 100
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
