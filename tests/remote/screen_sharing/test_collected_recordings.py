"""Hashes of recordings on their way into the audit trail, from a real folder; who tells of them is killed."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sra import audit
from sra.audit import Audit, AuditError, RecordEvent
from sra.remote.screen_sharing import link
from sra.remote.screen_sharing.helper import Helper
from sra.remote.screen_sharing.link import collect_recordings
from sra.remote.screen_sharing.password import OnePassword
from sra.remote.screen_sharing.recording.folder import RecordingFolder, new_name
from sra.remote.screen_sharing.screen_account import ScreenAccount
from sra.remote.screen_sharing.share import Policy, SharePlace
from tests.loopback import until

CONTENT = b"pictures"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Scene:
    """A helper with recordings, an srad that collects them, and the audit trail."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "helper"
        self.recordings = RecordingFolder(folder / "recordings")
        self.trail = folder / "log" / "audit.jsonl"

    @asynccontextmanager
    async def helper(self) -> AsyncIterator[None]:
        account = ScreenAccount("_srascreen", 2**31, 2**31)
        place = SharePlace(self.socket.parent / "server", account, Policy())
        password = OnePassword(account.name, _set_nothing)
        async with running(
            Helper(self.socket, place, os.geteuid(), password, RecordingFolder(self.recordings.path)).serve()
        ):
            await until(self.socket.is_socket)
            yield

    @asynccontextmanager
    async def srad(self, record: RecordEvent | None = None) -> AsyncIterator[None]:
        async with running(collect_recordings(self.socket, record or Audit(self.trail).record)):
            yield

    def recorded(self) -> str:
        """A recording that is whole; its name."""
        name = f"{new_name('ann')}.mkv"
        with os.fdopen(self.recordings.begin(name), "wb") as file:
            file.write(CONTENT)
        self.recordings.end(name)
        return name

    def written(self) -> list[dict[str, audit.Fact]]:
        if not self.trail.exists():
            return []
        return [record.facts for record in audit.read(self.trail) if record.event == "screen-recorded"]

    def is_noted(self, name: str) -> bool:
        return (self.recordings.path / f"{name}.sha256").exists()


async def _set_nothing(account: str, value: str) -> None:
    pass


@asynccontextmanager
async def running(serving: object) -> AsyncIterator[None]:
    assert asyncio.iscoroutine(serving)
    task = asyncio.create_task(serving)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "TRY_AGAIN", 0.02)


async def test_each_is_written_down_once_with_its_hash(tmp_path: Path) -> None:
    there = Scene(tmp_path)
    names = sorted(there.recorded() for _ in range(3))
    async with there.helper(), there.srad():
        await until(lambda: all(map(there.is_noted, names)))
    assert there.written() == [{"recording": name, "size": 8, "sha256": SHA256} for name in names]
    assert audit.verify(there.trail) is None
    async with there.helper(), there.srad():
        await asyncio.sleep(0.1)
    assert len(there.written()) == 3


async def test_one_that_became_whole_while_either_of_them_was_away_is_not_lost(tmp_path: Path) -> None:
    there = Scene(tmp_path)
    async with there.srad():
        await asyncio.sleep(0.05)
        first = there.recorded()
        async with there.helper():
            await until(lambda: there.is_noted(first))
        second = there.recorded()
        async with there.helper():
            await until(lambda: there.is_noted(second))
    assert [facts["recording"] for facts in there.written()] == [first, second]


async def test_one_that_could_not_be_written_down_is_told_of_again(tmp_path: Path) -> None:
    there, failures = Scene(tmp_path), [AuditError("no space left")] * 2

    def record(event: str, **facts: str | int) -> None:
        if failures:
            raise failures.pop()
        Audit(there.trail).record(event, **facts)

    name = there.recorded()
    async with there.helper(), there.srad(record):
        await until(lambda: there.is_noted(name))
    assert failures == []
    assert len(there.written()) == 1


async def test_a_helper_of_another_user_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Scene(tmp_path)
    there.recorded()
    monkeypatch.setattr(link, "is_ours_or_roots", lambda _: False)
    async with there.helper(), there.srad():
        await asyncio.sleep(0.2)
    assert there.written() == []
