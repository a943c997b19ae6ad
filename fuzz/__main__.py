"""Fuzz everything for a while: ``python -m fuzz --minutes N``. Ends with 1 if there was a finding."""

from __future__ import annotations

import argparse
import importlib
import resource
import sys

from fuzz.runs import BUILD, Fuzzer, c_fuzzers, python_fuzzer, run_all
from fuzz.target import TARGETS

ROOMS = "fuzz.rooms"


def main() -> int:
    """Run, print, and count the findings."""
    options = _parser().parse_args()
    importlib.import_module(options.rooms)
    fuzzers = [python_fuzzer(each) for each in TARGETS.values()]
    if options.rooms == ROOMS:
        fuzzers += c_fuzzers()
    chosen = [each for each in fuzzers if not options.target or each.name in options.target]
    BUILD.mkdir(parents=True, exist_ok=True)
    return _report(chosen, options.minutes * 60, options.jobs)


def _report(fuzzers: list[Fuzzer], seconds: float, jobs: int) -> int:
    outcomes = run_all(fuzzers, seconds, jobs)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    findings = [outcome for outcome in outcomes if outcome.finding]
    executions = sum(outcome.executions for outcome in outcomes)
    print(
        f"fuzz: {len(outcomes)} targets, {executions} runs, {used.ru_utime + used.ru_stime:.0f} CPU seconds in all, "
        f"findings {len(findings)}"
    )
    for outcome in findings:
        print(f"FINDING in {outcome.name}: {outcome.finding}")
    return 1 if findings or not outcomes else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2, help="wall time of all targets together")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument("--rooms", default=ROOMS, help="the module that registers the targets")
    return parser


if __name__ == "__main__":
    sys.exit(main())
