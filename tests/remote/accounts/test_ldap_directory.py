import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sra.errors import UsageError
from sra.remote.accounts.directory import DirectoryError
from sra.remote.accounts.ldap_connection import Server, tls_context
from sra.remote.accounts.ldap_directory import LdapDirectory, LdapSettings
from tests.remote.accounts.hostile_server import (
    BIND_DONE,
    EXTENDED_DONE,
    HOST,
    SEARCH_DONE,
    Talk,
    entry,
    message,
    reference,
    request,
    result,
    running,
    saying,
    server_context,
)
from tests.remote.accounts.issuing import Authority

AUTHORITY = Authority()
UPN = "userPrincipalName"
VALUE = "alice@example.com"
ALICE = entry("uid=alice", uid=[b"alice"], userPrincipalName=[VALUE.encode()])
DONE = result(3, SEARCH_DONE)
SHORT = 0.3
"""Seconds that a server may take in a test where it takes them all."""


@pytest.fixture
def trust(tmp_path: Path) -> ssl.SSLContext:
    return tls_context(AUTHORITY.own.write(tmp_path, "authority")[0])


@pytest.fixture
def serving(tmp_path: Path) -> ssl.SSLContext:
    return server_context(tmp_path, AUTHORITY)


def settings(*servers: Server, **more: object) -> LdapSettings:
    return LdapSettings(servers, "dc=example,dc=com", **{"connect_seconds": 5, "search_seconds": 5, **more})  # type: ignore[arg-type]


async def ask(talk: Talk, serving: ssl.SSLContext, trust: ssl.SSLContext, **more: object) -> set[str]:
    """What the directory says when its server talks like this."""
    async with running(talk, serving) as at:
        return set(await LdapDirectory(settings(at.server, **more), trust).find(UPN, VALUE))


async def problem(talk: Talk, serving: ssl.SSLContext, trust: ssl.SSLContext, **more: object) -> str:
    with pytest.raises(DirectoryError) as caught:
        await ask(talk, serving, trust, **more)
    return str(caught.value)


async def test_one_entry_with_the_exact_value_is_the_account(serving: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    assert await ask(saying(ALICE + DONE), serving, trust) == {"alice"}
    assert await ask(saying(reference() + ALICE + reference() + DONE), serving, trust) == {"alice"}


async def test_no_entry_is_nobody(serving: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    assert await ask(saying(DONE), serving, trust) == set()
    assert await ask(saying(reference() + DONE), serving, trust) == set()


@pytest.mark.parametrize("values", [[b"ALICE@example.com"], [b"alice@example.com "], [], [b"other", b"another"]])
async def test_an_entry_that_has_only_nearly_the_value_is_nobody(
    values: list[bytes], serving: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    found = entry("uid=alice", uid=[b"alice"], userPrincipalName=values)
    assert await ask(saying(found + DONE), serving, trust) == set()


async def test_two_accounts_are_two(serving: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    bob = entry("uid=bob", uid=[b"bob"], userPrincipalName=[VALUE.encode()])
    assert await ask(saying(ALICE + bob + result(3, SEARCH_DONE, 4)), serving, trust) == {"alice", "bob"}


@pytest.mark.parametrize("second", [entry("uid=b", uid=[b"b"], userPrincipalName=[b"ALICE@example.com"]), ALICE])
async def test_where_more_could_follow_nobody_is_taken(
    second: bytes, serving: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    assert "who else" in await problem(saying(ALICE + second + DONE), serving, trust)


async def test_a_hundred_thousand_entries_are_not_waited_for(serving: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    begin = time.monotonic()
    bob = entry("uid=bob", uid=[b"bob"], userPrincipalName=[VALUE.encode()])
    assert await ask(saying(ALICE + bob * 100_000), serving, trust) == {"alice", "bob"}
    assert "more than 16 messages" in await problem(saying(reference() * 100_000), serving, trust)
    assert time.monotonic() - begin < 2


async def test_an_entry_of_ten_megabytes_is_not_read(serving: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    huge = entry("uid=alice", uid=[b"alice"], userPrincipalName=[b"x" * 10_000_000, VALUE.encode()])
    assert "at most 1048576 are read" in await problem(saying(huge + DONE), serving, trust)


@pytest.mark.parametrize("names", [[], [b"alice", b"bob"], [b"../root"], [b""], [b"0"], [b"\xff"], [b"alice\0"]])
async def test_an_entry_without_one_sound_name_is_an_error(
    names: list[bytes], serving: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    found = entry("cn=strange", uid=names, userPrincipalName=[VALUE.encode()])
    assert "cn=strange" in await problem(saying(found + DONE), serving, trust)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (result(3, SEARCH_DONE, 10, b"try there"), "LDAP code 10"),
        (result(3, SEARCH_DONE, 32), "LDAP code 32"),
        (result(3, SEARCH_DONE, 50, b"\x1b[2Jno"), "LDAP code 50.*\\?"),
        (ALICE + result(3, SEARCH_DONE, 3), "LDAP code 3"),
        (result(3, BIND_DONE), "something else"),
        (result(2, SEARCH_DONE), "instead of 3"),
        (result(0, EXTENDED_DONE, 52, b"disconnected"), "instead of 3"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no LDAP message"),
        (message(3, b"\x65\x84\xff\xff\xff\xff"), "cut short"),
    ],
)
async def test_what_is_no_answer_is_an_error(
    answer: bytes, reason: str, serving: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    with pytest.raises(DirectoryError, match=reason):
        await ask(saying(answer), serving, trust)


async def test_a_server_that_ends_in_the_middle_is_an_error(serving: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(ALICE[:-3])
        await writer.drain()
        writer.close()

    assert "closed the connection" in await problem(talk, serving, trust)


async def _nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _byte_by_byte(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for at in range(len(ALICE)):
        writer.write(ALICE[at : at + 1])
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("talk", [_nothing, _byte_by_byte])
async def test_a_slow_server_has_one_deadline(talk: Talk, serving: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    begin = time.monotonic()
    assert "not answer in time" in await problem(talk, serving, trust, search_seconds=SHORT)
    assert SHORT <= time.monotonic() - begin < SHORT + 1


@pytest.mark.parametrize("is_tls", [True, False])
async def test_a_server_that_never_says_a_word_has_a_deadline_too(*, is_tls: bool, trust: ssl.SSLContext) -> None:
    begin = time.monotonic()
    async with running(_nothing, None, is_tls=is_tls) as at:
        with pytest.raises(DirectoryError, match="not answer in time"):
            await LdapDirectory(settings(at.server, connect_seconds=SHORT), trust).find(UPN, VALUE)
    assert time.monotonic() - begin < SHORT + 1


async def test_the_event_loop_goes_on_meanwhile(trust: ssl.SSLContext) -> None:
    ticks = 0
    async with running(_nothing, None) as at:
        question = asyncio.create_task(
            LdapDirectory(settings(at.server, connect_seconds=SHORT), trust).find(UPN, VALUE)
        )
        while not question.done():
            await asyncio.sleep(0.01)
            ticks += 1
        question.exception()
    assert ticks > 10


async def test_a_server_that_is_down_is_said_so_and_the_next_one_is_asked(
    serving: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    down = Server(HOST, 1, is_tls=True)
    async with running(saying(ALICE + DONE), serving) as at:
        assert await LdapDirectory(settings(down, at.server), trust).find(UPN, VALUE) == {"alice"}
    with pytest.raises(DirectoryError, match="ldaps://localhost:1: "):
        await LdapDirectory(settings(down), trust).find(UPN, VALUE)


@pytest.mark.parametrize("name", ["other.example.com", "*"])
async def test_the_certificate_has_to_be_the_servers_own(tmp_path: Path, name: str, trust: ssl.SSLContext) -> None:
    serving = server_context(tmp_path, AUTHORITY, name)
    assert "certificate is not trusted: Hostname mismatch" in await problem(saying(ALICE + DONE), serving, trust)


async def test_the_certificate_has_to_come_from_the_authority(tmp_path: Path, trust: ssl.SSLContext) -> None:
    serving = server_context(tmp_path, Authority("Somebody else"))
    assert "certificate is not trusted" in await problem(saying(ALICE + DONE), serving, trust)


def test_authorities_that_can_not_be_read_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    for name in ("empty", "missing"):
        with pytest.raises(UsageError, match=name):
            tls_context(tmp_path / name)


def after_start_tls(serving: ssl.SSLContext, first: bytes, talk: Talk) -> Talk:
    """Answer StartTLS with ``first``, then go on in TLS."""

    async def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(first)
        await writer.drain()
        await writer.start_tls(serving)
        await talk(reader, writer)

    return start


async def ask_after_start_tls(
    first: bytes, talk: Talk, serving: ssl.SSLContext, trust: ssl.SSLContext, **more: object
) -> set[str]:
    async with running(after_start_tls(serving, first, talk), None, is_tls=False) as at:
        return set(await LdapDirectory(settings(at.server, **more), trust).find(UPN, VALUE))


async def test_an_ldap_server_is_asked_in_tls(serving: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    assert await ask_after_start_tls(result(1, EXTENDED_DONE), saying(ALICE + DONE), serving, trust) == {"alice"}


@pytest.mark.parametrize("code", [1, 2, 10, 52])
async def test_a_server_that_refuses_tls_is_asked_nothing(
    code: int, serving: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    with pytest.raises(DirectoryError, match=f"refuses StartTLS .LDAP code {code}"):
        await ask_after_start_tls(result(1, EXTENDED_DONE, code), _nothing, serving, trust)


@pytest.mark.parametrize("injected", [ALICE + DONE, result(2, BIND_DONE), b"\x16\x03\x03\x00\x05hello"])
async def test_what_is_put_behind_the_answer_to_start_tls_is_never_an_answer(
    injected: bytes, serving: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    with pytest.raises(DirectoryError):
        await ask_after_start_tls(
            result(1, EXTENDED_DONE) + injected, saying(DONE), serving, trust, connect_seconds=SHORT
        )


async def test_the_password_goes_to_the_server_and_nowhere_else(
    tmp_path: Path, serving: ssl.SSLContext, trust: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request(reader))
        writer.write(result(2, BIND_DONE, 49, b"invalid credentials"))
        await writer.drain()

    file = tmp_path / "password"
    file.write_text("s3cret pass\n")
    file.chmod(0o640)
    text = await problem(talk, serving, trust, bind_name="cn=srad", password_file=file)
    assert "refuses bind (LDAP code 49)" in text
    assert seen[0].endswith(b"\x80\x0bs3cret pass")
    assert "s3cret" not in text + caplog.text


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        ("", 0o600, "no password"),
        ("\n", 0o600, "no password"),
        ("secret", 0o644, "everybody may read"),
        (None, 0, "no such"),
    ],
)
async def test_without_a_sound_password_nothing_is_asked(
    tmp_path: Path, content: str | None, mode: int, reason: str, serving: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    assert reason in await problem(_nothing, serving, trust, bind_name="cn=srad", password_file=file)


async def counting(
    talk: Callable[[LdapDirectory], Awaitable[None]], serving: ssl.SSLContext, trust: ssl.SSLContext
) -> int:
    """How many connections it takes."""
    async with running(saying(ALICE + DONE), serving) as at:
        await talk(LdapDirectory(settings(at.server), trust))
        return at.connections


async def test_the_same_question_is_asked_once(serving: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    async def talk(directory: LdapDirectory) -> None:
        for _ in range(3):
            assert await directory.find(UPN, VALUE) == {"alice"}
        assert await directory.find(UPN, "bob@example.com") == set()

    assert await counting(talk, serving, trust) == 2


async def test_the_very_certificate_is_looked_for(serving: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    issued = AUTHORITY.issue()
    for stored, accounts in ((issued.card.der, {"alice"}), (AUTHORITY.issue().card.der, set())):
        found = entry("uid=alice", uid=[b"alice"], **{"userCertificate;binary": [b"old", stored]})
        async with running(saying(found + DONE), serving) as at:
            assert await LdapDirectory(settings(at.server), trust).find_certificate(issued.card) == accounts
