"""What the documents name is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_walks_go_through_code_that_exists() -> None:
    names = re.findall(r"`(sra[\w.]*):([\w.]+)`", (ROOT / "docs" / "walks.md").read_text())
    assert len(names) > 20
    for module, path in names:
        found: object = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target
