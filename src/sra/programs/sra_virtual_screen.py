"""``sra-virtual-screen``: what LightDM starts in place of Xorg where there is no monitor (docs/screen.md).

It becomes Xvfb, with Xorg's options as LightDM gives them. It imports little: a person waits for the login window.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence

from sra.config import ScreenConfig, load_daemon_config
from sra.errors import UsageError
from sra.paths import Paths

XVFB = "/usr/bin/Xvfb"
DEPTH = 24
DROPPED = {
    "-config": 1, "-layout": 1, "-seat": 1, "-background": 1, "-novtswitch": 0, "-sharevts": 0,
    "-listen": 1, "-nolisten": 1,
}  # fmt: skip
"""Option -> its values: what Xvfb does not know or has no use for, and where to listen, which is decided here."""
_VIRTUAL_TERMINAL = re.compile(r"vt\d{1,2}")
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""By Python, and then by whatever it becomes, unless that is undone."""


def main() -> None:
    """Become Xvfb."""
    arguments = [XVFB, *for_xvfb(sys.argv[1:], size(Paths()))]
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    os.execv(XVFB, arguments)  # noqa: S606 - no shell: the arguments go to Xvfb as they are


def for_xvfb(words: Sequence[str], pixels: str) -> list[str]:
    """Xvfb's arguments in place of Xorg's; ``pixels`` such as ``1920x1080``. There is never a TCP port."""
    return [*_known(iter(words)), "-nolisten", "tcp", "-screen", "0", f"{pixels}x{DEPTH}"]


def _known(words: Iterator[str]) -> Iterator[str]:
    for word in words:
        if word in DROPPED:
            for _ in range(DROPPED[word]):
                next(words, None)
        elif not _VIRTUAL_TERMINAL.fullmatch(word):
            yield word


def size(paths: Paths) -> str:
    """What the owner has set; the usual size if that can't be read, so that there is a screen on which to mend it."""
    try:
        return load_daemon_config(paths.config).screen.virtual_size
    except UsageError as error:
        sys.stderr.write(f"sra-virtual-screen: {error}\n")
        return ScreenConfig().virtual_size
