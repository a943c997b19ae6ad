"""Build the Debian package: ``dist/secure-remote-access_VERSION_ARCHITECTURE.deb``.

Run by the checkout's own Python (``make deb``). What is bundled are the installed files of the pinned packages that the
product needs, so building needs no network, and the same checkout makes the same package.
"""

from __future__ import annotations

import compileall
import gzip
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePath

import manpages
from packaging.requirements import Requirement
from typer._completion_shared import get_completion_script
from typer.main import get_command

from sra import __version__
from sra.cli.main import build as build_commands

CHECKOUT = Path(__file__).resolve().parent.parent.parent
HERE = CHECKOUT / "packaging" / "debian"
NAME = "secure-remote-access"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
NEXT_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor + 1}"
HOME = f"usr/lib/{NAME}"
SITE = f"{HOME}/lib/python{PYTHON}/site-packages"
PROGRAMS = {
    "sra": ("usr/bin", "sra.cli.main"),
    "srad": ("usr/sbin", "sra.programs.srad"),
    "sra-card": ("usr/sbin", "sra.programs.sra_card"),
    "sra-screen": ("usr/sbin", "sra.programs.sra_screen"),
    "sra-virtual-screen": ("usr/sbin", "sra.programs.sra_virtual_screen"),
}
"""Program -> where it is called from, and the module that it is."""
PROGRAM = """\
#!/{home}/bin/python3 -I
from {module} import main

main()
"""
VENV = f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {PYTHON}\n"
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/sra",
    "zsh": "usr/share/zsh/vendor-completions/_sra",
    "fish": "usr/share/fish/vendor_completions.d/sra.fish",
}


def main() -> None:
    """Build the package, from nothing, in a folder of its own, so that several can be built at a time."""
    build = CHECKOUT / "build"
    build.mkdir(exist_ok=True)
    package = CHECKOUT / "dist" / f"{NAME}_{__version__}_{architecture()}.deb"
    with tempfile.TemporaryDirectory(dir=build, prefix="deb-") as folder:
        root = Path(folder) / NAME
        root.mkdir()
        bundled = sorted(closure(NAME), key=str.lower)
        bundle(root, bundled)
        install_programs(root)
        install_driver(root)
        install_documents(root, bundled)
        install_completions(root)
        pack(root, package)
    print(package.relative_to(CHECKOUT))


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


def bundle(root: Path, packages: list[str]) -> None:
    """The Python packages and our own, compiled, so that nothing is written when they run."""
    site = root / SITE
    for name in packages:
        for source, target in installed_files(name):
            copy(source, site / target)
    shutil.copytree(CHECKOUT / "src" / "sra", site / "sra", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (site / "sra").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    if not compileall.compile_dir(
        site, quiet=1, stripdir=str(root), prependdir="/", workers=0,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    ):  # fmt: skip
        sys.exit("some of the Python files can't be compiled")


def installed_files(name: str) -> Iterator[tuple[Path, PurePath]]:
    """The files of an installed package, and where they go below site-packages."""
    for each in metadata.files(name) or []:
        if ".." in each.parts or "__pycache__" in each.parts or each.name in {"RECORD", "INSTALLER", "REQUESTED"}:
            continue
        yield Path(str(each.locate())), PurePath(each)


def install_programs(root: Path) -> None:
    """The programs, on a Python environment of their own that has nothing but what is bundled."""
    write(root / HOME / "pyvenv.cfg", VENV)
    (root / HOME / "bin").mkdir()
    (root / HOME / "bin" / "python3").symlink_to("/usr/bin/python3")
    for name, (folder, module) in PROGRAMS.items():
        write(root / HOME / "bin" / name, PROGRAM.format(home=HOME, module=module), 0o755)
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).symlink_to(f"/{HOME}/bin/{name}")
    copy(CHECKOUT / "packaging" / "secure_remote_access.sh", root / "usr/sbin/secure_remote_access.sh", 0o755)


def install_driver(root: Path) -> None:
    """What is compiled, without what only a debugger reads: the virtual reader, and what logins need."""
    driver = root / "usr/lib/pcsc/drivers/serial/libifdvirtualserial.so"
    copy(CHECKOUT / "reader" / "build" / driver.name, driver)
    announce = root / HOME / "sra-announce"
    copy(CHECKOUT / "reader" / "build" / announce.name, announce, 0o755)
    module = root / HOME / "sra-opensc.so"
    copy(CHECKOUT / "reader" / "build" / module.name, module)
    subprocess.run(["strip", "--strip-unneeded", driver, announce, module], check=True)


def install_documents(root: Path, bundled: list[str]) -> None:
    """Manual pages, changes and licenses."""
    commands = manpages.commands_of(get_command(build_commands()), "sra")
    for page in manpages.read_pages(CHECKOUT / "docs" / "man"):
        name = manpages.file_name(page)
        compress(root / f"usr/share/man/man{name[-1]}/{name}.gz", manpages.roff(page, __version__, commands))
    folder = root / f"usr/share/doc/{NAME}"
    compress(folder / "changelog.gz", (CHECKOUT / "CHANGELOG.md").read_text())
    lines = "".join(f"  {name} {metadata.version(name)}\n" for name in bundled)
    text = (HERE / "copyright.in").read_text().replace("@BUNDLED@\n", lines).replace("@PYTHON@", PYTHON)
    write(folder / "copyright", text)


def install_completions(root: Path) -> None:
    """What completes the words of a command line, in three shells."""
    for shell, path in COMPLETIONS.items():
        write(root / path, get_completion_script(prog_name="sra", complete_var="_SRA_COMPLETE", shell=shell) + "\n")


def pack(root: Path, package: Path) -> None:
    """Control files, digests, and the package itself; all files belong to root and are as old as the last commit."""
    installed = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]
    digests = (f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in installed)  # noqa: S324
    write(root / "DEBIAN" / "md5sums", "".join(digests))
    write(root / "DEBIAN" / "control", control(sum(path.stat().st_size for path in installed) // 1024))
    for script in ("postinst", "prerm", "postrm"):
        copy(HERE / script, root / "DEBIAN" / script, 0o755)
    for folder in (path for path in [root, *root.rglob("*")] if path.is_dir() and not path.is_symlink()):
        folder.chmod(0o755)
    draft = root.parent / package.name
    environment = {**os.environ, "SOURCE_DATE_EPOCH": said_by("git", "-C", str(CHECKOUT), "log", "-1", "--format=%ct")}
    said_by("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(root), str(draft), environment=environment)
    package.parent.mkdir(exist_ok=True)
    draft.replace(package)


def control(size: int) -> str:
    """The control file of a package that takes this many KiB when it is installed."""
    text = (HERE / "control.in").read_text()
    values = {"VERSION": __version__, "ARCHITECTURE": architecture(), "SIZE": str(size), "PYTHON": PYTHON}
    for key, value in {**values, "NEXT_PYTHON": NEXT_PYTHON}.items():
        text = text.replace(f"@{key}@", value)
    return text


def architecture() -> str:
    """Debian's name of this machine's architecture."""
    return said_by("dpkg", "--print-architecture")


def said_by(*command: str, environment: dict[str, str] | None = None) -> str:
    """What a program writes, or the end of this one."""
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


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


def compress(target: Path, text: str) -> None:
    """Write a compressed file; the same text is the same file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(text.encode(), mtime=0))
    target.chmod(0o644)


if __name__ == "__main__":
    main()
