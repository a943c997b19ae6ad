"""What a TLS connection that failed leaves behind in this process: the error and its traceback, and nothing else."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator


@contextlib.contextmanager
def released() -> Iterator[None]:
    """Free the TLS of a handshake that fails in here.

    asyncio keeps the error in a future, and the error's traceback keeps that future's frame: a cycle that holds some
    75 KiB of TLS until the garbage of the whole process is collected. A stranger could have many of them made.
    """
    try:
        yield
    except OSError as error:  # TimeoutError and ssl.SSLError are too
        traceback.clear_frames(error.__traceback__)
        raise
