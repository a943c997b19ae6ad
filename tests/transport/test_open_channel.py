"""Opening a channel: what may be at the other end, and what a person is told."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sra.errors import LinkError, SraError
from sra.transport.channel import Channel, open_channel
from sra.transport.tls_trust import client_context
from sra.wire.connection import Connection
from sra.wire.messages import ALPN, Ping
from sra.wire.states import Role
from tests.loopback import (
    DEADLINE,
    HOST,
    dial,
)


async def test_where_nobody_listens_there_is_no_link() -> None:
    with socket.create_server((HOST, 0)) as before:
        port = before.getsockname()[1]
    with pytest.raises(LinkError, match="can't be reached"):
        await dial(port)


async def test_a_host_without_an_address_can_not_be_reached() -> None:
    with pytest.raises(LinkError, match="can't be reached"):
        await open_channel(
            "no-such-host.invalid", 4116, client_context(None, [ALPN]), Connection(Role.ADMIN),
            server_name="localhost", deadline=DEADLINE,
        )  # fmt: skip


async def test_what_does_not_speak_tls_is_no_remote() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    server = await asyncio.start_server(talk, HOST, 0)
    async with server:
        with pytest.raises(LinkError):
            await dial(server.sockets[0].getsockname()[1])


async def test_what_hangs_up_before_any_tls_says_so() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, HOST, 0)
    async with server:
        with pytest.raises(LinkError, match="hangs up at once"):
            await dial(server.sockets[0].getsockname()[1])


async def test_what_does_not_answer_is_given_up() -> None:
    with socket.create_server((HOST, 0)) as silent, pytest.raises(LinkError, match="does not answer"):
        await open_channel(
            HOST, silent.getsockname()[1], client_context(None, [ALPN]), Connection(Role.ADMIN),
            server_name="localhost", deadline=0.1,
        )  # fmt: skip


async def test_a_channel_that_was_never_connected_can_be_closed() -> None:
    unused = Channel(Connection(Role.ADMIN), "unused")
    with pytest.raises(SraError):
        await unused.ask(Ping())
    await unused.close("never mind")
    assert unused.is_lost
