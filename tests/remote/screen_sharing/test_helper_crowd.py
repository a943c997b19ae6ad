"""A local program of another user connects to the helper without end: the screen is shared all the same."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.remote.screen_sharing.helper_scene import BY, scene, use_programs_of_the_test

NOBODY = 65534
KNOCK = """
import os, socket
os.setgroups([])
os.setuid({user})
while True:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as knocking:
        try:
            knocking.connect({path!r})
        except OSError:
            continue
"""


@pytest.fixture(autouse=True)
def _programs_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    use_programs_of_the_test(monkeypatch)


async def test_the_screen_is_shared_while_another_user_connects_without_end() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # noqa: ASYNC240 - nothing else goes on yet
        async with scene(folder) as there:
            program = [sys.executable, "-c", KNOCK.format(user=NOBODY, path=str(there.socket))]
            knocking = [subprocess.Popen(program) for _ in range(2)]  # noqa: ASYNC220 - they go on
            try:
                for _ in range(3):
                    await asyncio.sleep(0.5)
                    link = there.link()
                    async with asyncio.timeout(10):
                        await link.grant(BY, view_only=False)
                    link.close()
            finally:
                for each in knocking:
                    each.kill()
                    each.wait()
