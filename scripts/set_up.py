"""Make this checkout ready: Debian's packages, then ``.venv`` with the pinned Python packages and the project.

Runs on the system's Python 3.11 with nothing else installed. What is there already is left alone, so a second run
takes a moment and needs no network.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEBIAN_PACKAGES = ROOT / "packaging" / "debian-packages.txt"
VENV = ROOT / ".venv"
GRADERS = VENV / "graders"
"""What grades the TLS of port 4116: apart, since it wants an older ``cryptography`` than the product."""
PIP_INSTALL = ["-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
PIP = [str(VENV / "bin" / "python"), *PIP_INSTALL]
REQUIREMENTS = ["requirements-build.txt", "requirements.txt"]
GRADER_REQUIREMENTS = ["requirements-graders.txt"]

SERVICE_POLICY = Path("/usr/sbin/policy-rc.d")
"""Asked by Debian's packages before they start their service; exit status 101 means "do not"."""

LOCK = Path("/run/lock/secure-remote-access-setup")
"""Held while packages are installed: of two set-ups on one machine the second finds them there."""
LOCK_PATIENCE = 600
"""Seconds to wait for another program that installs packages."""

UNWANTED_SERVICES = {"openssh-server": "ssh.service", "slapd": "slapd.service", "lightdm": "lightdm.service"}
"""The tests start their own; installing a package for them must not open the machine to the network."""


def main() -> None:
    """Do every step that is not done yet."""
    if missing := missing_packages():
        install_packages(missing)
    if is_stale("python-packages", REQUIREMENTS):
        make_venv()
        mark_done("python-packages", REQUIREMENTS)
    if is_stale("graders", GRADER_REQUIREMENTS):
        make_graders()
        mark_done("graders", GRADER_REQUIREMENTS)
    if is_stale("project", ["pyproject.toml"]):
        run([*PIP, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
        mark_done("project", ["pyproject.toml"])


def missing_packages() -> list[str]:
    """Those packages of the list that are not installed."""
    lines = (line.partition("#")[0].strip() for line in DEBIAN_PACKAGES.read_text().splitlines())
    wanted = [line for line in lines if line]
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n", *wanted]
    answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    installed = {line.partition(" ")[2] for line in answer if line.startswith("installed ")}
    return [package for package in wanted if package not in installed]


def install_packages(packages: list[str]) -> None:
    """Install them without starting any service."""
    if os.geteuid() != 0:
        as_root = [sys.executable, str(Path(__file__).resolve())]
        if not shutil.which("sudo"):
            sys.exit(f"make setup: please install, as root: apt-get install {' '.join(packages)}")
        run(["sudo", *as_root, "--packages-only"])
        return
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if packages := missing_packages():
            install_as_root(packages)


def install_as_root(packages: list[str]) -> None:
    """Have apt install them."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", f"DPkg::Lock::Timeout={LOCK_PATIENCE}"]
    with services_left_stopped():
        run([*apt, "update"], environment)
        run([*apt, "install", "--yes", "--no-install-recommends", *packages], environment)
    for package, service in UNWANTED_SERVICES.items():
        if package in packages and shutil.which("systemctl"):
            run(["systemctl", "disable", "--quiet", service], environment)


@contextmanager
def services_left_stopped() -> Iterator[None]:
    """While this lasts, packages that are installed start no service."""
    if SERVICE_POLICY.exists():
        yield
        return
    SERVICE_POLICY.write_text("#!/bin/sh\nexit 101\n")
    SERVICE_POLICY.chmod(0o755)
    try:
        yield
    finally:
        SERVICE_POLICY.unlink()


def make_venv() -> None:
    """Make ``.venv`` anew: first what builds packages, then the packages."""
    run([sys.executable, "-m", "venv", "--clear", str(VENV)])
    for requirements in REQUIREMENTS:
        run([*PIP, "--require-hashes", "--no-build-isolation", "--requirement", str(ROOT / requirements)])


def make_graders() -> None:
    """Make the ``.venv`` of the graders anew."""
    run([sys.executable, "-m", "venv", "--clear", str(GRADERS)])
    install = [str(GRADERS / "bin" / "python"), *PIP_INSTALL]
    for requirements in GRADER_REQUIREMENTS:
        run([*install, "--require-hashes", "--requirement", str(ROOT / requirements)])


def is_stale(step: str, inputs: list[str]) -> bool:
    """Whether a step was not done yet, or was done from other inputs."""
    stamp = VENV / f"{step}.stamp"
    return not stamp.exists() or stamp.read_text() != fingerprint(inputs)


def mark_done(step: str, inputs: list[str]) -> None:
    """Remember what a step was done from."""
    (VENV / f"{step}.stamp").write_text(fingerprint(inputs))


def fingerprint(inputs: list[str]) -> str:
    """A digest of the files, of this Python and of the place, since a ``.venv`` can't be moved."""
    digest = hashlib.sha256(f"{sys.version}\n{ROOT}\n".encode())
    for name in inputs:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a command, or stop with its exit status."""
    print("+", " ".join(command), flush=True)
    status = subprocess.run(command, env=environment, check=False).returncode
    if status != 0:
        sys.exit(status)


if __name__ == "__main__":
    if "--packages-only" in sys.argv[1:]:
        install_packages(missing_packages())
    else:
        main()
