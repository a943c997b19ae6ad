"""A local program of another user holds every place of 4117 that it gets: the virtual card attaches all the same."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import time

from sra.remote.activation.steps_linux import shipped
from sra.remote.daemon.local_listener import LocalListener
from sra.system.tcp import loopback_user_linux
from tests.loopback import server_context
from tests.memory_remote import SECRET, MemoryReader, running_remote

NOBODY = 65534
HOLD = """
import os, socket, sys, time
os.setuid({user})
held = []
while True:
    try:
        connection = socket.create_connection(("127.0.0.1", {port}))
        held.append(connection)
    except OSError:
        time.sleep(0.01)
    if len(held) == 280:
        print("holding", flush=True)
    if len(held) > 500:
        held.pop(0).close()
"""


async def test_a_virtual_card_attaches_while_another_user_holds_what_it_can() -> None:
    async with running_remote(readers=0) as remote:
        program = [sys.executable, "-c", HOLD.format(user=NOBODY, port=remote.local_port)]
        holding = subprocess.Popen(program, stdout=subprocess.PIPE)  # noqa: ASYNC220 - it goes on
        try:
            assert holding.stdout is not None
            await asyncio.to_thread(holding.stdout.readline)
            for number in range(5):
                begun = time.monotonic()
                reader = MemoryReader(number)
                await reader.attach(remote.local_port)
                assert time.monotonic() - begun < 5  # and 9.5 where all other users share places
                await reader.leave()
        finally:
            holding.kill()
            holding.wait()
            if holding.stdout is not None:
                holding.stdout.close()


async def test_the_virtual_card_s_user_has_places_that_no_other_user_can_take() -> None:
    async with running_remote(readers=0) as remote:
        listener = LocalListener(server_context(), SECRET, remote.sessions, card_user=NOBODY - 1)
        known = listener._listener._gate._known
        assert [known.is_known(f"user {user}") for user in (0, NOBODY - 1, NOBODY)] == [True, True, False]
        assert not known.is_known("unknown")


def test_srad_s_unit_lets_it_tell_users_apart() -> None:
    """In a namespace of users of its own all others have one number, the virtual card's user like who floods."""
    assert not re.search(r"^PrivateUsers=", shipped("srad.service", BIN="/usr/bin").decode(), re.MULTILINE)


def test_the_user_of_a_local_connection_is_known_and_of_none_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as here:
            assert loopback_user_linux(here.getsockname()[1], port) == os.geteuid()
            assert loopback_user_linux(here.getsockname()[1], 1) is None
            assert loopback_user_linux(1, port) is None
            gone = here.getsockname()[1]
        assert loopback_user_linux(gone, port) is None
