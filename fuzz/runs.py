"""Running fuzzers: each target in a process of its own, some at a time, and what came of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fuzz.target import Target

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz/corpus"
"""Inputs to begin with, in a folder for each target."""
REGRESSIONS = ROOT / "fuzz/regressions"
"""Inputs that once were findings, in a folder for each target."""
BUILD = ROOT / "build/fuzz"
"""What was found on the way (``corpus``), and findings (``findings``)."""
READER = ROOT / "reader"

START = 2.5
"""Seconds of a target's share that go into starting Python and running the corpus, to begin with: a machine that is
busy takes longer, which is measured as it goes."""
MAX_MEMORY_MIB = 1024
MEMORY = Path("/dev/shm")  # noqa: S108 - only the parent of a folder of our own
"""Where the files are that a target writes, since the product forces each to the disk."""
HANG = 20
"""Seconds for one input after which libFuzzer gives up; a target's own bound is far below, in processor time."""

_UNITS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERAGE = re.compile(r"\bcov: (\d+)")
_ARTIFACT = re.compile(r"Test unit written to (\S+)")
_RAISED = re.compile(r"(?<=Uncaught Python exception: ===\n)\S.*|(?<=SUMMARY: )\S.*")


@dataclass(frozen=True)
class Fuzzer:
    """A target, or one of the C harnesses: ``command`` is what runs it, without libFuzzer's options."""

    name: str
    command: tuple[str, ...]
    max_len: int
    words: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of one fuzzer; ``finding`` is empty if it found nothing."""

    name: str
    executions: int
    coverage: int
    seconds: float
    finding: str


def python_fuzzer(target: Target) -> Fuzzer:
    """The fuzzer of a Python target."""
    return Fuzzer(
        target.name, (sys.executable, "-m", "fuzz.one", target.module, target.name), target.max_len, target.words
    )


def c_fuzzers() -> list[Fuzzer]:
    """The fuzzers of the driver, built now."""
    subprocess.run(("make", "-s", "-C", str(READER), "fuzzers"), check=True)
    harnesses = {
        "c_frame": ("fuzz_frame", 70_000),
        "c_driver": ("fuzz_driver", 8192),
        "c_announce": ("fuzz_announce", 1024),
    }
    return [Fuzzer(name, (str(READER / "build" / file),), size) for name, (file, size) in harnesses.items()]


def run_all(fuzzers: Sequence[Fuzzer], seconds: float, jobs: int) -> list[Outcome]:
    """Run each for its share of ``seconds`` (wall time of all together), ``jobs`` at a time; print each outcome."""
    deadline = time.monotonic() + seconds
    waiting, start = len(fuzzers), START

    def run_next(fuzzer: Fuzzer) -> Outcome:
        nonlocal waiting, start
        share = (deadline - time.monotonic()) * jobs / max(jobs, waiting)
        waiting -= 1
        asked = max(1, int(share - start))
        outcome = _run(fuzzer, asked)
        start = (start + max(0.0, outcome.seconds - asked)) / 2
        print(_line(outcome), flush=True)
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(run_next, fuzzers))


def _run(fuzzer: Fuzzer, seconds: int) -> Outcome:
    ours, findings = BUILD / "corpus" / fuzzer.name, BUILD / "findings" / fuzzer.name
    known = [folder / fuzzer.name for folder in (CORPUS, REGRESSIONS) if (folder / fuzzer.name).is_dir()]
    for folder in (ours, findings):
        folder.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={fuzzer.max_len}",
        f"-rss_limit_mb={MAX_MEMORY_MIB}",
        f"-timeout={HANG}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        *_dictionary(fuzzer),
    ]
    begun = time.monotonic()
    command = (*fuzzer.command, *options, *map(str, (ours, *known)))
    memory = str(MEMORY) if MEMORY.is_dir() else None
    # A fuzzer ends without cleaning up, so its temporary files are in a folder that is ours.
    with tempfile.TemporaryDirectory(prefix="sra-fuzz-", dir=memory) as temporary:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": temporary},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    said = done.stdout.decode(errors="replace")
    (BUILD / f"{fuzzer.name}.log").write_text(said)
    covered = [int(number) for number in _COVERAGE.findall(said)]
    executions = _UNITS.search(said)
    finding = "" if done.returncode == 0 else _finding(said, done.returncode)
    took = time.monotonic() - begun
    return Outcome(fuzzer.name, int(executions[1]) if executions else 0, max(covered, default=0), took, finding)


def _dictionary(fuzzer: Fuzzer) -> list[str]:
    """The words in the form that libFuzzer reads."""
    if not fuzzer.words:
        return []
    path = BUILD / f"{fuzzer.name}.dict"
    escaped = ("".join(rf"\x{byte:02x}" for byte in word) for word in fuzzer.words)
    path.write_text("".join(f'"{word}"\n' for word in escaped))
    return [f"-dict={path}"]


def _finding(said: str, code: int) -> str:
    """What was found, in a line: the error, and the file with the input."""
    artifact = _ARTIFACT.search(said)
    raised = _RAISED.search(said)
    text = raised[0] if raised else f"it ended with status {code}"
    return f"{text[:200]} ({artifact[1] if artifact else 'no input was kept'})"


def _line(outcome: Outcome) -> str:
    rate = outcome.executions / outcome.seconds if outcome.seconds else 0
    numbers = f"{outcome.executions:>10} runs {rate:>8.0f}/s {outcome.coverage:>6} covered"
    return f"{outcome.name:<26}{numbers}   {'FINDING: ' + outcome.finding if outcome.finding else 'no finding'}"
