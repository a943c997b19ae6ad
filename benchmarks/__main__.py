"""Measure ours and the peers in one run: ``python -m benchmarks`` (as root, on Linux)."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks import decide, guard, machine, report, screen, world
from benchmarks.inside import PATHS
from benchmarks.measure import Plan, Results

BUILD = world.CHECKOUT / "build"
PAGE = Path(__file__).with_name("README.md")
QUICK = Plan(rtts_ms=(0, 100), runs=3)


def main() -> None:
    """Measure, print the table, and keep it as build/bench.json."""
    options = _parse()
    if os.geteuid() != 0:
        sys.exit("The benchmarks make private networks and mounts: run them as root.")
    load_before = machine.load_average()
    paths = dict.fromkeys(("link", *(options.only or PATHS)))
    results = joined(_measure(path, _plan(options), options.output) for path in paths)
    description = machine.describe(load_before)
    (options.output / "bench.json").write_bytes(report.to_json(results, description))
    markdown = (
        f"{report.to_markdown(results, description)}\n{decide.measure()}\n\n{guard.measure()}\n\n{screen.measure()}\n"
    )
    print(markdown)
    if options.write:
        report.write_between_markers(PAGE, markdown)


def joined(parts: Iterable[Results]) -> Results:
    """The results of several worlds as one; a card's time from the first world that measured it."""
    everything = list(parts)
    card_times = {(time.card, time.kind): time for part in reversed(everything) for time in part.card_times}
    return Results(
        tuple(cell for part in everything for cell in part.cells),
        tuple(card_times[key] for key in sorted(card_times)),
        tuple(time for part in everything for time in part.link_times),
        tuple(reason for part in everything for reason in part.missing),
    )


def _measure(path: str, plan: Plan, output: Path) -> Results:
    start = time.monotonic()
    results = world.run(path, plan, output / "bench-logs" / f"{path}.log")
    outcome = "not measured" if results.missing else f"{len(results.cells)} figures"
    print(f"{path}: {outcome} in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return results


def _plan(options: argparse.Namespace) -> Plan:
    if options.quick:
        return QUICK
    return Plan(tuple(options.rtt), options.runs)


def _folder(name: str) -> Path:
    return Path(name).absolute()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure ours and the peers.")
    parser.add_argument("--runs", type=int, default=Plan().runs, metavar="N", help="runs for each figure")
    parser.add_argument("--rtt", type=float, nargs="+", default=Plan().rtts_ms, metavar="MS", help="round-trip times")
    parser.add_argument("--quick", action="store_true", help="three runs each, at 0 and 100 ms")
    parser.add_argument("--only", nargs="+", choices=sorted(PATHS), metavar="PATH", help=", ".join(sorted(PATHS)))
    parser.add_argument("--output", type=_folder, default=BUILD, metavar="DIR", help="where bench.json and logs go")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
