"""The screen's password: random, hashed, and right once."""

from __future__ import annotations

import asyncio
import math
import subprocess
from pathlib import Path

import pytest

from sra.remote.screen_sharing import password
from sra.remote.screen_sharing.password import ALPHABET, LENGTH, LOCKED, OnePassword, PasswordError, hashed


class Shadow:
    """An account's hash, changed as slowly as chpasswd does."""

    def __init__(self) -> None:
        self.hashes: list[str] = []
        self.at_work = 0
        self.most_at_work = 0
        self.broken = False

    async def set(self, account: str, value: str) -> None:
        assert account == "_srascreen"
        self.at_work += 1
        self.most_at_work = max(self.at_work, self.most_at_work)
        await asyncio.sleep(0.01)
        self.at_work -= 1
        if self.broken:
            raise PasswordError("chpasswd: the disk is full")
        self.hashes.append(value)

    def one(self) -> OnePassword:
        return OnePassword("_srascreen", self.set)


def test_a_password_has_more_than_128_bits_and_is_never_the_same() -> None:
    assert LENGTH * math.log2(len(ALPHABET)) > 128
    made = {password.random_password() for _ in range(1000)}
    assert len(made) == 1000
    assert {len(each) for each in made} == {LENGTH}
    assert set("".join(made)) == set(ALPHABET)


def test_the_hash_is_sha512_crypts_as_openssl_makes_it() -> None:
    made = hashed("Hello world!")
    _, kind, salt, _ = made.split("$")
    assert (kind, len(salt)) == ("6", 16)
    openssl = ["openssl", "passwd", "-6", "-salt", salt, "-stdin"]
    expected = subprocess.run(openssl, input="Hello world!\n", capture_output=True, text=True, check=True).stdout
    assert made == expected.strip()


def test_each_hash_has_its_own_salt() -> None:
    assert len({hashed("the same") for _ in range(20)}) == 20


async def test_it_is_right_until_its_first_use() -> None:
    shadow = Shadow()
    one = shadow.one()
    assert not await one.burn()
    await one.issue()
    assert shadow.hashes[-1].startswith("$6$")
    assert await one.burn()
    assert shadow.hashes[-1] == LOCKED
    assert not await one.burn()


async def test_of_many_in_the_same_moment_one_finds_it_unused() -> None:
    one = Shadow().one()
    await one.issue()
    assert sorted(await asyncio.gather(*(one.burn() for _ in range(20)))) == [False] * 19 + [True]


async def test_a_lock_voids_it() -> None:
    shadow = Shadow()
    one = shadow.one()
    await one.issue()
    await one.lock()
    assert shadow.hashes[-1] == LOCKED
    assert not await one.burn()


async def test_a_new_one_voids_the_one_before_even_while_it_is_made() -> None:
    one = Shadow().one()
    first = await one.issue()
    making = asyncio.create_task(one.issue())
    await asyncio.sleep(0)
    assert not await one.burn()
    assert await making != first
    assert await one.burn()


async def test_where_it_can_not_be_voided_nobody_is_let_in() -> None:
    shadow = Shadow()
    one = shadow.one()
    await one.issue()
    shadow.broken = True
    with pytest.raises(PasswordError):
        await one.burn()
    shadow.broken = False
    assert not await one.burn()


async def test_a_change_that_has_begun_comes_to_its_end_and_one_follows_the_other() -> None:
    shadow = Shadow()
    one = shadow.one()
    issuing = asyncio.create_task(one.issue())
    await asyncio.sleep(0)
    issuing.cancel()
    await one.lock()
    assert [value[:1] for value in shadow.hashes] == ["$", LOCKED]
    assert shadow.most_at_work == 1


async def test_chpasswd_gets_it_by_its_input_and_its_words_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "chpasswd"
    program.write_text(
        f'#!/bin/sh\necho "$@" >{tmp_path}/words\ncat >{tmp_path}/input\necho no good >&2\nexit $STATUS\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("STATUS", "0")
    await password.set_hash("_srascreen", "$6$salt$hash")
    assert (tmp_path / "words").read_text() == "--encrypted\n"
    assert (tmp_path / "input").read_text() == "_srascreen:$6$salt$hash\n"
    monkeypatch.setenv("STATUS", "1")
    with pytest.raises(PasswordError, match="no good"):
        await password.set_hash("_srascreen", LOCKED)


async def test_a_chpasswd_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "chpasswd"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(password, "DEADLINE", 0.1)
    with pytest.raises(PasswordError, match="does not come to an end"):
        await password.set_hash("_srascreen", LOCKED)
