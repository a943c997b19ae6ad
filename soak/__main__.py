"""Soak the product: ``python -m soak --minutes 60`` (as root, on Linux)."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path

from lab.hosts import CHECKOUT
from soak.run import Options, run


def main() -> None:
    """Soak, and end with 1 if a rule was violated."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="the same seed, the same steps")
    parser.add_argument("--only", type=_numbers, default=frozenset(), help="the numbers of the steps to be done: 4,17")
    parser.add_argument("--logs", type=Path, default=CHECKOUT / "build" / "soak")
    given = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("A soak makes two machines of this one: run it as root.")
    sys.exit(run(Options(given.seed, given.minutes, given.logs.absolute() / str(given.seed), given.only)))


def _numbers(text: str) -> frozenset[int]:
    return frozenset(map(int, text.split(",")))


if __name__ == "__main__":
    main()
