"""A desktop notification, where there is a desktop: a question may wait on a terminal that nobody looks at.

It says that much and no more. Its text may be markup (Desktop Notifications 1.2), and stands on a command line that
every user of this machine can read; so nothing of what a remote says belongs in it.
"""

from __future__ import annotations

import html
import os
import shutil
import subprocess

from sra.logs import clean


def show(text: str) -> None:
    """Show it; never raises and never waits."""
    program = shutil.which("notify-send")
    if program is None or not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    command = [program, "--app-name=Secure Remote Access", "--", "Secure Remote Access", html.escape(clean(text))]
    try:
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    except OSError:
        return
