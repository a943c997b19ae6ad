"""How the login gets to know of cards: srad leaves them, root makes the map."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sra.errors import RefusalCode, RefusedError
from sra.identity.certificates import CardCertificate
from sra.paths import Paths
from sra.remote.logins import mapping
from sra.remote.logins import refresh as logins
from sra.remote.logins import watch as logins_watch
from sra.remote.logins.login_paths import LoginPaths
from tests.loopback import until
from tests.remote.accounts.issuing import Authority

NOBODY = 65534
CARD = Authority().issue().card


async def ann(_: CardCertificate) -> str:
    return "ann"


def vouched(_: CardCertificate) -> None:
    """An authority vouches for every card."""


def unvouched(_: CardCertificate) -> None:
    raise RefusedError(RefusalCode.UNTRUSTED, "anybody can write any name into a certificate")


async def nobody(_: CardCertificate) -> str:
    raise RefusedError(RefusalCode.NOT_PAIRED, "nobody's")


async def found(paths: Paths, find_account: Callable[[CardCertificate], Awaitable[str]]) -> str:
    """What srad finds, and does beside it."""
    return await logins_watch.remembering(paths, find_account, vouched)(CARD)


def write_map(paths: Paths, accounts: dict[bytes, str]) -> None:
    path = LoginPaths(paths.root).mapping
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(mapping.text_of(accounts))


async def test_a_card_that_is_let_in_is_left_for_root(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    assert await found(paths, ann) == "ann"
    assert list(logins.seen_cards(paths).cards()) == [CARD]


async def test_a_card_that_nobody_vouches_for_is_not_and_nobody_waits(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_map(paths, {})

    assert await asyncio.wait_for(logins_watch.remembering(paths, ann, unvouched)(CARD), 1) == "ann"
    assert not logins.seen_cards(paths).path.exists()


async def test_a_card_that_is_refused_is_not(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    with pytest.raises(RefusedError):
        await found(paths, nobody)
    assert list(logins.seen_cards(paths).cards()) == []


async def test_a_new_card_waits_until_the_login_knows_it(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_map(paths, {})
    finding = asyncio.ensure_future(logins_watch.remembering(paths, ann, vouched)(CARD))
    await until(lambda: any(logins.seen_cards(paths).cards()))
    await asyncio.sleep(0.1)
    assert not finding.done()
    write_map(paths, {CARD.der: "ann"})
    assert await finding == "ann"


async def test_nobody_waits_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins_watch, "PATIENCE", 0.1)
    paths = Paths(tmp_path)
    write_map(paths, {})
    assert await found(paths, ann) == "ann"


async def test_a_folder_that_can_not_be_written_shuts_nobody_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = Paths(tmp_path)
    paths.state.parent.mkdir(parents=True)
    paths.state.write_text("no folder")
    assert await found(paths, ann) == "ann"
    assert "does not get to know this card" in caplog.text


def test_a_login_whose_files_are_closed_shuts_nobody_out(tmp_path: Path) -> None:
    login, me = LoginPaths(tmp_path), os.geteuid()
    write_map(Paths(tmp_path), {})
    login.ours.chmod(0)
    if me == 0:
        os.seteuid(NOBODY)
    try:
        with pytest.raises(PermissionError):
            login.mapping.stat()
        assert not logins.is_enabled(login)
    finally:
        os.seteuid(me)
        login.ours.chmod(0o700)


def test_where_the_login_takes_no_cards_nothing_is_made(tmp_path: Path) -> None:
    assert logins.refresh(Paths(tmp_path)) is False
    assert list(tmp_path.iterdir()) == []


async def test_root_is_called_when_something_changes_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, refreshed = Paths(tmp_path), []

    async def note(_: Paths) -> None:
        refreshed.append(True)

    monkeypatch.setattr(logins_watch, "_refresh_apart", note)
    monkeypatch.setattr(logins_watch, "LOOK_EVERY", 0.01)
    watching = asyncio.create_task(logins_watch.keep_fresh(paths))
    await asyncio.sleep(0.05)
    assert refreshed == []  # the login takes no cards
    write_map(paths, {})
    await until(lambda: len(refreshed) == 1)
    await asyncio.sleep(0.05)
    assert len(refreshed) == 1
    logins.seen_cards(paths).add(CARD)
    await until(lambda: len(refreshed) > 1)
    watching.cancel()
