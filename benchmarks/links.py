"""The links between processes: the delay proxy between the two machines, and lines on stdin."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
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


async def read_lines() -> AsyncIterator[str]:
    """The lines of stdin, until it ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().strip()
