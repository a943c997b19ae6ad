import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sra.remote.accounts.directory import DirectoryError
from sra.remote.accounts.sssd_directory import SssdDirectory
from tests.remote.accounts.issuing import Authority

CARD = Authority().issue().card
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def problem(bus: Path, talk: Talk | None = None) -> str:
    """Why SSSD can't be asked, on a bus that talks like this, or on none."""

    async def ask() -> None:
        directory = SssdDirectory(f"unix:path={bus}")
        if talk is None:
            await directory.find_certificate(CARD)
            return
        async with await asyncio.start_unix_server(talk, bus):
            await directory.find_certificate(CARD)

    with pytest.raises(DirectoryError) as caught:
        asyncio.run(ask())
    return str(caught.value)


def test_a_machine_without_a_bus_says_so(tmp_path: Path) -> None:
    assert "can't be asked over the message bus: [Errno 2]" in problem(tmp_path / "bus")


def test_a_bus_that_says_nothing_has_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    monkeypatch.setattr("sra.remote.accounts.sssd_directory.SECONDS", 0.2)
    begin = time.monotonic()
    assert "not answer in time" in problem(tmp_path / "bus", silent)
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize("said", [b"", b"REJECTED EXTERNAL\r\n", b"HTTP/1.1 400\r\n\r\n", b"\0\xff" * 20 + b"\r\n"])
def test_what_is_no_bus_is_an_error(tmp_path: Path, said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)
        writer.close()

    assert "can't be asked over the message bus" in problem(tmp_path / "bus", talk)
