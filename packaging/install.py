"""Install the product below a folder: ``make install DESTDIR=… PREFIX=…``, of which the Debian package is made too.

Run by the checkout's own Python. What is bundled are the installed files of the pinned packages that the product needs,
so installing needs no network, and the same checkout installs the same files. ``reader/Makefile`` installs what is C.
"""

from __future__ import annotations

import compileall
import py_compile
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePath

import manpages
from packaging.requirements import Requirement
from typer._completion_shared import get_completion_script
from typer.main import get_command

from sra import __version__
from sra.cli.main import build as build_commands

CHECKOUT = Path(__file__).resolve().parent.parent
NAME = "secure-remote-access"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PROGRAMS = {
    "sra": ("bin", "sra.cli.main"),
    "srad": ("sbin", "sra.programs.srad"),
    "sra-card": ("sbin", "sra.programs.sra_card"),
    "sra-screen": ("sbin", "sra.programs.sra_screen"),
    "sra-virtual-screen": ("sbin", "sra.programs.sra_virtual_screen"),
}
"""Program -> where it is called from, and the module that it is."""
PROGRAM = """\
#!{home}/bin/python3 -I
from {module} import main

main()
"""
VENV = f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {PYTHON}\n"
COMPLETIONS = {
    "bash": "share/bash-completion/completions/sra",
    "zsh": "share/zsh/vendor-completions/_sra",
    "fish": "share/fish/vendor_completions.d/sra.fish",
}


def main(destination: str, prefix: str) -> None:
    """Install everything below ``destination``, for a machine on which it will be below ``prefix``."""
    root = Path(f"{destination}{prefix}")
    home = root / "lib" / NAME
    # What an older version bundled is not this one's.
    shutil.rmtree(home / "lib", ignore_errors=True)
    packages = sorted(closure(NAME), key=str.lower)
    bundle(home / "lib" / f"python{PYTHON}" / "site-packages", packages, destination)
    install_programs(root, home, prefix)
    install_documents(root, packages)


def closure(name: str) -> set[str]:
    """The packages that a package needs, and those that they need, as they are installed here."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in metadata.requires(name) or []]
    while waiting:
        wanted = waiting.pop()
        if wanted.name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        found.add(wanted.name)
        waiting += [Requirement(text) for text in metadata.requires(wanted.name) or []]
    return found


def bundle(site: Path, packages: list[str], destination: str) -> None:
    """Install the Python packages and our own, compiled, so that nothing is written when they run."""
    for name in packages:
        for source, target in installed_files(name):
            copy(source, site / target)
    shutil.copytree(CHECKOUT / "src" / "sra", site / "sra", ignore=shutil.ignore_patterns("__pycache__"))
    for path in site.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    if not compileall.compile_dir(
        site, quiet=1, stripdir=destination or None, prependdir="/" if destination else None, workers=0,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    ):  # fmt: skip
        sys.exit("some of the Python files can't be compiled")


def installed_files(name: str) -> Iterator[tuple[Path, PurePath]]:
    """The files of an installed package, and where they go below site-packages."""
    for each in metadata.files(name) or []:
        if ".." in each.parts or "__pycache__" in each.parts or each.name in {"RECORD", "INSTALLER", "REQUESTED"}:
            continue
        yield Path(str(each.locate())), PurePath(each)


def install_programs(root: Path, home: Path, prefix: str) -> None:
    """Install the programs, on a Python environment of their own that has nothing but what is bundled."""
    write(home / "pyvenv.cfg", VENV)
    link(home / "bin" / "python3", "/usr/bin/python3")
    for name, (folder, module) in PROGRAMS.items():
        write(home / "bin" / name, PROGRAM.format(home=f"{prefix}/lib/{NAME}", module=module), 0o755)
        link(root / folder / name, f"../lib/{NAME}/bin/{name}")
    copy(CHECKOUT / "packaging" / "secure_remote_access.sh", root / "sbin/secure_remote_access.sh", 0o755)


def install_documents(root: Path, packages: list[str]) -> None:
    """Install manual pages, changes, a list of what is bundled, and completions for three shells."""
    commands = manpages.commands_of(get_command(build_commands()), "sra")
    for page in manpages.read_pages(CHECKOUT / "docs" / "man"):
        name = manpages.file_name(page)
        write(root / f"share/man/man{name[-1]}" / name, manpages.roff(page, __version__, commands))
    lines = (f"{name} {metadata.version(name)}\n" for name in packages)
    write(root / "share/doc" / NAME / "bundled-packages.txt", "".join(lines))
    copy(CHECKOUT / "CHANGELOG.md", root / "share/doc" / NAME / "NEWS.md")
    for shell, path in COMPLETIONS.items():
        write(root / path, get_completion_script(prog_name="sra", complete_var="_SRA_COMPLETE", shell=shell) + "\n")


def copy(source: Path, target: Path, mode: int = 0o644) -> None:
    """Copy a file, with the folders above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def write(target: Path, text: str, mode: int = 0o644) -> None:
    """Write a file, with the folders above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    target.chmod(mode)


def link(path: Path, target: str) -> None:
    """Make a symbolic link, with the folders above it, in place of a former one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
