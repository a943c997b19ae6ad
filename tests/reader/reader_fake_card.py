"""A card process that can be told to misbehave: a program, so that it can be killed and can run as any user.

``reader_fake_card.py SOCKET BEHAVIOUR [FLAGS]`` puts a card in. It writes one line of JSON for each event, the time in
nanoseconds of the monotonic clock, and ejects the card when a line comes on its standard input.
"""

import json
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ATR = bytes.fromhex("3B8D80018 0FBA000000308000010000100CD".replace(" ", ""))
PIN_PAD = 1

GREETING, POWER_ON, POWER_OFF, APDU = 0x01, 0x02, 0x03, 0x04
DONE, RESPONSE, WAIT = 0x81, 0x82, 0x83


def tell(event: str, **facts: object) -> None:
    sys.stdout.write(json.dumps({"event": event, "at": time.monotonic_ns(), **facts}) + "\n")
    sys.stdout.flush()


def frame(kind: int, body: bytes = b"") -> bytes:
    return bytes([kind]) + len(body).to_bytes(4, "big") + body


def receive_exactly(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        piece = connection.recv(length - len(received))
        if not piece:
            raise ConnectionError
        received += piece
    return received


def answer_with_its_own_bytes(command: bytes) -> Iterator[bytes]:
    yield frame(RESPONSE, command + b"\x90\x00")


def answer_after_four_seconds(command: bytes) -> Iterator[bytes]:
    for _ in range(4):
        time.sleep(1)
        yield frame(WAIT)
    yield from answer_with_its_own_bytes(command)


def answer_in_pieces(command: bytes) -> Iterator[bytes]:
    for byte in frame(RESPONSE, command + b"\x90\x00"):
        yield bytes([byte])
        time.sleep(0.001)


def flood_with_wait(command: bytes) -> Iterator[bytes]:
    del command
    while True:
        yield frame(WAIT)


def constant(answer: bytes) -> Callable[[bytes], Iterator[bytes]]:
    def say(command: bytes) -> Iterator[bytes]:
        del command
        yield answer

    return say


GOOD_GREETING = "good"
ANNOUNCED = threading.Event()
"""That the card is in has been told; what pcscd does with it comes after that."""

# What is sent for an APDU; a card that is not here greets wrongly.
ANSWERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    GOOD_GREETING: answer_with_its_own_bytes,
    "pieces": answer_in_pieces,
    "wait": answer_after_four_seconds,
    "flood": flood_with_wait,
    "hang": constant(b""),
    "garbage": constant(b"\xde\xad\xbe\xef" * 1000),
    "oversized": constant(frame(RESPONSE, bytes(65_539))),
    "empty": constant(frame(RESPONSE)),
    "other-kind": constant(frame(DONE)),
    "truncated": constant(frame(RESPONSE, bytes(100))[:50]),
}
GREETINGS: dict[str, bytes] = {
    "silent": b"",
    "garbage-greeting": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "truncated-greeting": frame(GREETING, b"\x01\x00" + ATR)[:-1],
    "oversized-greeting": frame(GREETING, b"\x01\x00" + bytes(34)),
    "huge-greeting": b"\x01\xff\xff\xff\xff" + bytes(100_000),
    "new-version": frame(GREETING, b"\x02\x00" + ATR),
}


def answer_frames(connection: socket.socket, behaviour: str) -> None:
    while True:
        header = receive_exactly(connection, 5)
        body = receive_exactly(connection, int.from_bytes(header[1:], "big"))
        if header[0] == APDU:
            tell("apdu", command=body[:300].hex())  # a pipe that nobody reads yet has room for 64 KiB
            for piece in ANSWERS.get(behaviour, answer_with_its_own_bytes)(body):
                connection.sendall(piece)
        else:
            tell({POWER_ON: "power on", POWER_OFF: "power off"}[header[0]])
            connection.sendall(frame(DONE))


def serve(listener: socket.socket, behaviour: str, flags: int, connections: list[socket.socket]) -> None:
    while True:
        connection, _ = listener.accept()
        connections.append(connection)
        ANNOUNCED.wait()
        try:
            connection.sendall(GREETINGS.get(behaviour, frame(GREETING, bytes([1, flags]) + ATR)))
            answer_frames(connection, behaviour)
        except OSError:
            tell("hung up")
            connection.close()


def main(path: Path, behaviour: str, flags: int) -> None:
    if behaviour not in ANSWERS and behaviour not in GREETINGS:
        sys.exit(f"no behaviour {behaviour}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    hidden = path.with_name(f".{path.name}.new")
    listener.bind(str(hidden))
    listener.listen()
    connections: list[socket.socket] = []
    threading.Thread(target=serve, args=(listener, behaviour, flags, connections), daemon=True).start()
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        at = time.monotonic_ns()
        hidden.rename(path)
        tell("inserted", at=at)
        ANNOUNCED.set()
        selector.select()
    tell("ejected")
    for connection in connections:
        connection.close() if connection.fileno() < 0 else connection.shutdown(socket.SHUT_RDWR)
    path.unlink()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else PIN_PAD)
