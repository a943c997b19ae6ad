"""What a program that knows a PIN does not leave behind: core files, and memory that other programs can read."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4
"""prctl(2): without it no debugger of the same user can attach, and no core is written."""


def keep_memory_private() -> None:
    """No core files, no debugger; best effort where the system has no such thing."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
