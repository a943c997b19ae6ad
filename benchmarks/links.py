"""The link between the two machines: the delay proxy as a process of a world."""

from __future__ import annotations

from pathlib import Path

from benchmarks.world import ROOT, World

CONTROL = ROOT / "proxy-control"


def start_proxy(world: World, listen: str, connect: str) -> Path:
    """Start the proxy; its control socket."""
    world.start_python(
        *("benchmarks.delayproxy", "--listen", listen, "--connect", connect),
        *("--control", str(CONTROL), "--quick-ack"),
        ready=CONTROL.exists,
    )
    return CONTROL
