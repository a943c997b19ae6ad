"""A client of an SSH agent for steady signatures: one connection, many signatures (draft-miller-ssh-agent).

    SSH_AUTH_SOCK=... python -m benchmarks.agent

It takes the agent's first key. Like ``benchmarks.pkcs11`` it says "ready", and then makes as many signatures as each
line on its stdin says.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time

REQUEST_IDENTITIES, IDENTITIES_ANSWER = 11, 12
SIGN_REQUEST, SIGN_RESPONSE = 13, 14
RSA_SHA2_256 = 2
"""The flag that asks for SHA-256 from an RSA key; other keys ignore it."""

MESSAGE = bytes(32)


def string(data: bytes) -> bytes:
    """The SSH encoding of a string: its length, then itself."""
    return struct.pack(">I", len(data)) + data


def ask(connection: socket.socket, kind: int, body: bytes, expected: int) -> bytes:
    """Send a message; the answer's body."""
    connection.sendall(string(bytes([kind]) + body))
    (length,) = struct.unpack(">I", receive(connection, 4))
    answer = receive(connection, length)
    if answer[0] != expected:
        raise RuntimeError(f"the agent answered {answer[0]}")
    return answer[1:]


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly ``size`` bytes."""
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError("the agent hung up")
        data += more
    return data


def first_key(connection: socket.socket) -> bytes:
    """The agent's first public key."""
    answer = ask(connection, REQUEST_IDENTITIES, b"", IDENTITIES_ANSWER)
    (length,) = struct.unpack_from(">I", answer, 4)
    return answer[8 : 8 + length]


def main() -> None:
    """Sign as asked on stdin."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ["SSH_AUTH_SOCK"])
        request = string(first_key(connection)) + string(MESSAGE) + struct.pack(">I", RSA_SHA2_256)
        print("ready", flush=True)
        for line in sys.stdin:
            seconds = []
            for _ in range(int(line)):
                start = time.monotonic()
                ask(connection, SIGN_REQUEST, request, SIGN_RESPONSE)
                seconds.append(time.monotonic() - start)
            print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
