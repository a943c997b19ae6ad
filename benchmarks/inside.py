"""Measures one path; started by ``benchmarks.world`` inside its private namespaces.

python -m benchmarks.inside PATH LOG <PLAN.json >RESULTS.json
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import msgspec

from benchmarks import link, ours
from benchmarks.keys import KeyKind
from benchmarks.measure import Plan, Results
from benchmarks.peers import apdu_relay, p11kit, ssh
from benchmarks.world import World

PATHS: dict[str, Callable[[World, Plan], Results]] = {
    "link": link.measure,
    "p11-kit-rsa": partial(p11kit.measure, kind=KeyKind.RSA_2048),
    "p11-kit-p256": partial(p11kit.measure, kind=KeyKind.P256),
    "apdu-relay-rsa": partial(apdu_relay.measure, kind=KeyKind.RSA_2048),
    "apdu-relay-p256": partial(apdu_relay.measure, kind=KeyKind.P256),
    "ssh-rsa": partial(ssh.measure, kind=KeyKind.RSA_2048),
    "ssh-p256": partial(ssh.measure, kind=KeyKind.P256),
    "ours-rsa": partial(ours.measure, kind=KeyKind.RSA_2048),
    "ours-p256": partial(ours.measure, kind=KeyKind.P256),
}


def _give_up(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError("a run took too long")


def main() -> None:
    """Measure the path that the command line names."""
    signal.signal(signal.SIGALRM, _give_up)
    path, log = sys.argv[1:]
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    world = World(Path(log))
    world.enter()
    sys.stdout.buffer.write(msgspec.json.encode(PATHS[path](world, plan)))


if __name__ == "__main__":
    main()
