"""A private world for one path: its own mounts, network, processes, pcscd and PAM services. It leaves nothing behind.

``run`` starts this module again inside new namespaces. There /run and /etc/pam.d are empty file systems of its own, and
the network is a loopback interface of its own, so that runs side by side can't meet. All processes in it die with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks.measure import Plan, Results

ROOT = Path("/run/bench")
"""Where everything of a path is, inside its world."""

CHECKOUT = Path(__file__).parents[1]
PATIENCE = 15.0
"""Seconds for anything that is started to become ready."""


class World:
    """Starts processes and waits for them, inside the namespaces."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(ROOT / "home"),
            "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'src'}",
            "LANG": "C.UTF-8",
        }

    def enter(self) -> None:
        """Make the private file systems and bring the loopback interface up."""
        _call("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run")
        _call("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/etc/pam.d")
        _call("ip", "link", "set", "lo", "up")
        for folder in (ROOT / "home", Path("/run/pcscd"), Path("/run/lock")):
            folder.mkdir(parents=True)

    def start(
        self, *command: str, ready: Callable[[], bool], environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process that stays, and wait until it is ready."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment | (environment or {})
            )
        self.wait_until(lambda: process.poll() is not None or ready(), " ".join(command))
        if process.poll() is not None:
            raise RuntimeError(f"ended at once: {' '.join(command)}")
        return process

    def start_python(self, module: str, *arguments: str, ready: Callable[[], bool]) -> subprocess.Popen[bytes]:
        """Start a module of the benchmarks and wait until it is ready."""
        return self.start(sys.executable, "-m", module, *arguments, ready=ready)

    def call(self, *command: str, answer: str = "") -> None:
        """Run a command to its end; raise if it fails."""
        outcome = subprocess.run(
            command, input=answer.encode(), capture_output=True, env=self.environment, timeout=120, check=False
        )
        if outcome.returncode != 0:
            with self.log.open("ab") as log:
                log.write(outcome.stdout + outcome.stderr)
            raise RuntimeError(f"failed with {outcome.returncode}: {' '.join(command)}")

    def converse(self, *command: str) -> subprocess.Popen[str]:
        """Start a process that is asked line by line."""
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment)

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not ready: {what}")
            time.sleep(0.01)


def stop(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """End a process and wait for it."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(path: str, plan: Plan, log: Path) -> Results:
    """Measure a path in a world of its own."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    command: Sequence[str] = [
        *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *(sys.executable, "-m", "benchmarks.inside", path, str(log)),
    ]
    with log.open("ab") as errors:
        outcome = subprocess.run(
            command,
            input=msgspec.json.encode(plan),
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=CHECKOUT,
            env=os.environ | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'src'}"},
            check=False,
        )
    if outcome.returncode != 0:
        last_lines = "\n".join(log.read_text(errors="replace").splitlines()[-3:])
        return Results(missing=(f"{path}: failed, see {log}: {last_lines}",))
    return msgspec.json.decode(outcome.stdout, type=Results)


def _call(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
