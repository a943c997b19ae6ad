"""The house rules that no linter knows (CONTRIBUTING.md)."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "sra"
CORE = ("piv", "wire", "identity")
FILE_LINES = 400
FUNCTION_LINES = 50

THEIR_WORDS = {"tokenidentity"}
"""Names that are another's, not ours: the tag of a macOS account."""


def files(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def within_root(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_files_are_short() -> None:
    lengths = {within_root(path): len(path.read_text().splitlines()) for path in files("*.py", "*.c", "*.h", "*.sh")}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES} == {}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_functions_are_short() -> None:
    long = [
        f"{within_root(path)}: {function.name}"
        for path in files("src/*.py", "lab/*.py", "scripts/*.py")
        for function in functions(ast.parse(path.read_text()))
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES
    ]
    assert long == []


def names_given(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def test_nothing_of_ours_is_called_a_token() -> None:
    called = [
        f"{within_root(path)}: {name}"
        for path in files("src/*.py")
        for name in names_given(ast.parse(path.read_text()))
        if "token" in name.lower() and name.lower() not in THEIR_WORDS
    ]
    assert called == []


def test_only_programs_and_the_command_line_exit() -> None:
    leaving = re.compile(r"\bsys\.exit\(|\bos\._exit\(|raise SystemExit")
    assert [
        within_root(path)
        for path in files("src/*.py")
        if leaving.search(path.read_text()) and path.relative_to(SOURCE).parts[0] not in {"cli", "app", "programs"}
    ] == []


@pytest.mark.parametrize("room", CORE)
def test_every_file_of_the_core_has_its_test(room: str) -> None:
    sources = {path.name for path in files(f"src/sra/{room}/*.py") if path.name != "__init__.py"}
    tests = {path.name.removeprefix("test_") for path in files(f"tests/{room}/test_*.py")}
    assert sources - tests == set()


def test_setting_up_names_no_host() -> None:
    host = re.compile(r"://|--(extra-)?index-url|--find-links")
    lists = files("Makefile", ".ci/run", "scripts", "requirements*", "packaging/*.txt")
    assert [within_root(path) for path in lists if host.search(path.read_text())] == []


def test_every_python_package_is_pinned_with_digests() -> None:
    for path in files("requirements*.txt"):
        entries = re.split(r"\n(?=\w)", re.sub(r"(?m)^ *#.*\n?", "", path.read_text()).strip())
        assert [entry for entry in entries if not re.match(r"[\w.-]+==\S+.* --hash=sha256:", entry, re.DOTALL)] == []
