"""An APDU relay at its best: our driver and our applet, and every APDU makes the trip over the network."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import softcard
from benchmarks.keys import KeyKind
from benchmarks.links import start_proxy
from benchmarks.measure import Meter, Plan, Results
from benchmarks.operations import Pkcs11Operations, read_line, tell
from benchmarks.reader import OPENSC, Decide, measure_presence, start_pcscd
from benchmarks.world import ROOT, World

NAME = "APDU relay"
PORT, FRONT_PORT = 7000, 7001
FOLDER, READER = ROOT / "softcards", ROOT / "readers/0"


def measure(world: World, plan: Plan, kind: KeyKind) -> Results:
    """All operations with RSA; the signatures only with P-256."""
    card = softcard.make(FOLDER, kind)
    READER.parent.mkdir()
    far = world.converse(sys.executable, "-m", "benchmarks.relay", "far", str(PORT), str(FOLDER))
    read_line(far)
    control = start_proxy(world, f"tcp:127.0.0.1:{FRONT_PORT}", f"tcp:127.0.0.1:{PORT}")
    world.start_python("benchmarks.relay", "near", str(FRONT_PORT), str(READER), ready=lambda: is_connected(far))
    start_pcscd(world, READER)
    meter = Meter(plan, NAME, kind, control)
    operations = Pkcs11Operations(world, meter, OPENSC, kind)
    if kind is KeyKind.P256:
        tell(far, "insert")
        return Results(tuple(operations.measure_signatures()))
    presence = measure_presence(world, meter, _decide(far, "insert"), _decide(far, "eject"))
    return Results((*presence, *operations.measure_all(card.credential)))


def is_connected(far: subprocess.Popen[str]) -> bool:
    """Whether the near side is connected to the far one."""
    return tell(far, "connected?") == "true"


def _decide(far: subprocess.Popen[str], what: str) -> Decide:
    return lambda: float(tell(far, what))
