"""The Debian package: it installs on a fresh machine, brings what it says, and is gone without a trace."""

import gzip
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from typer.main import get_command

from lab.systemd import CHECKOUT, SystemdMachine, differences, systemd_machine
from lab.systemd_root import debian_root
from sra import __version__
from sra.config import DaemonConfig
from tests.cli.whole import app
from tests.system.installed import (
    DEPENDENCIES,
    DPKG,
    NOISE,
    PACKAGE,
    fingerprint,
    fresh_machine,
    install,
    installed_machine,
    package,
)

pytestmark = pytest.mark.timeout(400)
"""The first of these tests makes the fresh machine, which is then kept."""

PAGES = (
    "man1/sra.1", "man5/srad.toml.5", "man8/srad.8", "man8/sra-card.8", "man8/sra-screen.8",
    "man8/sra-virtual-screen.8", "man8/secure_remote_access.sh.8",
)  # fmt: skip


ESSENTIAL = {"coreutils"}
"""What every Debian has, so that no package names it."""


@pytest.fixture(scope="module")
def machine() -> Iterator[SystemdMachine]:
    """A machine with the package, for the tests that only look."""
    with installed_machine() as made:
        yield made


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the package."""
    folder = tmp_path_factory.mktemp("package")
    subprocess.run(["dpkg-deb", "--extract", package(), folder], check=True)
    return folder


def field(name: str) -> str:
    command = ["dpkg-deb", "--field", str(package()), name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_fresh_machine_has_no_trace_of_it_after_it_was_purged() -> None:
    with fresh_machine() as machine:
        before = machine.tree()
        install(machine)
        assert machine.run(["sra", "--version"]).stdout == f"sra {__version__}\n"
        machine.run(["secure_remote_access.sh", "-ags"])
        machine.write("/etc/sra/pairings.toml", "# a pairing that the administrator made\n")
        machine.write("/var/lib/sra-screen/20260102T030405Z_ann_01234567.mkv", "a recording")
        machine.run(["dpkg", "--purge", PACKAGE])
        assert differences(before, machine.tree(), (*NOISE, *DPKG)) == []
        assert machine.run(["systemctl", "is-active", "srad"], check=False).stdout == "inactive\n"


def test_a_machine_whose_journal_is_lost_has_no_trace_of_it_after_it_was_purged() -> None:
    with fresh_machine() as machine:
        before = machine.tree()
        install(machine)
        machine.run(["secure_remote_access.sh", "-ags"])
        machine.run(["rm", "/var/lib/sra-activation/journal.json"])
        again = machine.run(["sra", "activate"], check=False)
        assert again.returncode == 2
        assert "run “sra deactivate”" in again.stderr
        machine.run(["dpkg", "--purge", PACKAGE])
        assert differences(before, machine.tree(), (*NOISE, *DPKG)) == []
        assert machine.run(["systemctl", "list-units", "--all", "--no-legend", "sra*"]).stdout == ""


def test_apt_installs_it_with_all_that_it_needs_on_a_machine_that_has_nothing_of_that() -> None:
    root = debian_root([], ready=DEPENDENCIES)
    with systemd_machine(root) as machine:
        machine.copy_in(package(), "/tmp/package.deb")
        command = ["apt-get", "install", "--yes", "--no-install-recommends", "/tmp/package.deb"]
        installed = machine.run(command, timeout=300)
        assert f"Setting up {PACKAGE}" in installed.stdout
        assert "Setting up pcscd" in installed.stdout
        machine.run(["secure_remote_access.sh", "-a", "-g"])
        assert machine.run(["systemctl", "is-active", "srad.service"]).stdout == "active\n"


def test_removing_it_deactivates_and_keeps_the_settings() -> None:
    with installed_machine() as machine:
        machine.run(["sra", "activate", "-g"])
        machine.write("/etc/sra/pairings.toml", "# a pairing that the administrator made\n")
        machine.run(["dpkg", "--remove", PACKAGE])
        assert machine.path("/etc/sra/pairings.toml").exists()
        assert machine.run(["getent", "passwd", "_sra"], check=False).stdout == ""
        assert machine.run(["systemctl", "is-active", "srad"], check=False).stdout == "inactive\n"


def main_process(machine: SystemdMachine) -> str:
    return machine.run(["systemctl", "show", "--value", "--property=MainPID", "srad"]).stdout.strip()


def test_an_upgrade_keeps_an_activated_machine_running_with_its_identity() -> None:
    with installed_machine() as machine:
        machine.run(["sra", "activate", "-g"])
        shown, process = fingerprint(machine), main_process(machine)
        install(machine)
        assert main_process(machine) != process, "the programs of the newer version run"
        machine.write("/etc/systemd/system/srad.service", "# of an older version\n[Service]\nExecStart=/bin/true\n")
        install(machine)
        assert fingerprint(machine) == shown
        assert machine.run(["systemctl", "is-active", "srad"]).stdout == "active\n"
        assert "NoNewPrivileges=yes" in machine.path("/etc/systemd/system/srad.service").read_text()


def test_it_starts_nothing_by_itself(machine: SystemdMachine) -> None:
    assert machine.run(["systemctl", "list-unit-files", "--no-legend", "sra*"], check=False).stdout == ""
    assert machine.run(["getent", "passwd", "_sra"], check=False).stdout == ""


@pytest.mark.parametrize("program", ["sra", "srad", "sra-card", "secure_remote_access.sh"])
def test_each_program_explains_itself(machine: SystemdMachine, program: str) -> None:
    option = "-h" if program.endswith(".sh") else "--help"
    assert "Usage:" in machine.run([program, option]).stdout


def test_words_are_completed_in_bash(machine: SystemdMachine) -> None:
    script = "/usr/share/bash-completion/completions/sra"
    ask = f'. {script}; COMP_WORDS=(sra act) COMP_CWORD=1; _sra_completion sra; echo "${{COMPREPLY[@]}}"'
    assert machine.run(["bash", "-c", ask]).stdout == "activate\n"


@pytest.mark.parametrize("shell", ["zsh/vendor-completions/_sra", "fish/vendor_completions.d/sra.fish"])
def test_there_are_completions_for_the_other_shells(unpacked: Path, shell: str) -> None:
    assert "_SRA_COMPLETE" in (unpacked / "usr/share" / shell).read_text()


@pytest.mark.parametrize("page", PAGES)
def test_the_manual_pages_are_read_without_a_warning(unpacked: Path, page: str) -> None:
    path = unpacked / "usr/share/man" / f"{page}.gz"
    command = ["man", "--local-file", "--warnings=w", "--encoding=UTF-8", str(path)]
    shown = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin", "MANWIDTH": "90"}
    )
    assert shown.stderr == ""
    name, _, section = Path(page).name.rpartition(".")
    assert f"{name.upper()}({section})" in shown.stdout
    assert "**" not in shown.stdout


def test_every_command_is_in_the_manual(unpacked: Path) -> None:
    text = gzip.decompress((unpacked / "usr/share/man/man1/sra.1.gz").read_bytes()).decode().replace("\\-", "-")
    headings = re.findall(r'^\.SS "(sra [a-z -]*[a-z])', text, re.MULTILINE)
    assert {*commands(get_command(app))} <= set(headings)


def test_every_setting_is_in_the_manual() -> None:
    page = (CHECKOUT / "docs" / "man" / "srad.toml.5.md").read_text()
    others = {name: (CHECKOUT / name).read_text() for name in re.findall(r"\*(docs/\S+\.md)\*", page)}
    _, *split = re.split(r"^(?:## |\*\*)\[([\w.]*)\]", page.replace("## Settings", "## []"), flags=re.MULTILINE)
    parts = dict(zip(split[::2], split[1::2], strict=True))

    def is_there(section: str, setting: str) -> bool:
        """In the section, or in a document in which the section says the others are."""
        elsewhere = [text for name, text in others.items() if re.search(rf"others.*{name}", parts[section], re.DOTALL)]
        return f"**{setting}**" in parts[section] or any(re.search(rf"\b{setting}\b", text) for text in elsewhere)

    assert [names for names in settings(DaemonConfig) if not is_there(*names)] == []


def settings(kind: type[msgspec.Struct], section: str = "") -> Iterator[tuple[str, str]]:
    """Every setting, and the section in which it is."""
    for each in msgspec.structs.fields(kind):
        inner = [one for one in (each.type, *get_args(each.type)) if hasattr(one, "__struct_fields__")]
        for one in inner:
            yield from settings(one, f"{section}.{each.name}".strip("."))
        if not inner:
            yield section, each.name


def commands(command: object, name: str = "sra") -> list[str]:
    below = getattr(command, "commands", {})
    return [words for word, each in below.items() for words in commands(each, f"{name} {word}")] or [name]


def test_the_files_are_root_s_and_nobody_else_may_write_them(unpacked: Path) -> None:
    wrong = [
        str(path.relative_to(unpacked))
        for path in unpacked.rglob("*")
        if not path.is_symlink() and (path.stat().st_mode & 0o022 or path.stat().st_uid != 0)
    ]
    assert wrong == []


def test_nothing_but_what_runs_is_in_it(unpacked: Path) -> None:
    site = next((unpacked / "usr/lib" / PACKAGE / "lib").glob("python3.*/site-packages"))
    bundled = {path.name for path in site.iterdir()}
    assert {"sra", "cryptography", "msgspec", "smartcard", "typer"} <= bundled
    assert not {"pytest", "mypy", "ruff", "hypothesis", "pip"} & bundled
    assert list(site.rglob("RECORD")) == []


def test_it_depends_on_what_the_fresh_machine_was_given() -> None:
    wanted = {part.split()[0] for part in field("Depends").split(", ")}
    assert wanted == {*DEPENDENCIES, "libc6"} - ESSENTIAL
    assert field("Version") == __version__


def test_lintian_finds_nothing_in_it() -> None:
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", str(package())]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (judged.returncode, judged.stdout) == (0, "")


def test_the_same_checkout_makes_the_same_package() -> None:
    first = package().read_bytes()
    package.cache_clear()
    assert package().read_bytes() == first


def test_make_install_installs_the_same_below_another_prefix(tmp_path: Path, unpacked: Path) -> None:
    command = ["make", "-s", "-C", str(CHECKOUT), "install", f"DESTDIR={tmp_path}", "PREFIX=/usr/local"]
    subprocess.run(command, check=True)
    driver = tmp_path / "usr/lib/pcsc/drivers/serial/libifdvirtualserial.so"
    assert driver.stat().st_mode & 0o777 == 0o644
    site = f"lib/{PACKAGE}/lib"
    ours, packaged = files_below(tmp_path / "usr/local" / site), files_below(unpacked / "usr" / site)
    assert ours == packaged
    program = tmp_path / "usr/local/sbin/srad"
    assert program.read_text().startswith(f"#!/usr/local/lib/{PACKAGE}/bin/python3 -I\n")
    assert program.stat().st_mode & 0o777 == 0o755


def test_what_make_install_installed_is_activated_and_taken_back(tmp_path: Path) -> None:
    with fresh_machine() as machine:
        command = ["make", "-s", "-C", str(CHECKOUT), "install", f"DESTDIR={tmp_path}/root", "PREFIX=/usr/local"]
        subprocess.run(command, check=True)
        subprocess.run(["tar", "-C", tmp_path / "root", "-cf", tmp_path / "installed.tar", "usr"], check=True)
        machine.copy_in(tmp_path / "installed.tar", "/tmp/installed.tar")
        machine.run(["tar", "-C", "/", "--no-same-owner", "-xf", "/tmp/installed.tar"])
        before = machine.tree()
        machine.run(["secure_remote_access.sh", "-a", "-g", "-s"])
        assert machine.run(["systemctl", "is-active", "srad", "sra-screen"]).stdout == "active\nactive\n"
        machine.run(["secure_remote_access.sh", "-d"])
        assert differences(before, machine.tree(), NOISE) == []


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
