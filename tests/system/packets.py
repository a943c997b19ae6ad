"""Writes down every packet that a machine sends or gets, its loopback's too, and reads that again.

python -m tests.system.packets FILE
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ALL_PROTOCOLS = 3  # ETH_P_ALL (packet(7))
TCP = 6
LONGEST = 1 << 17
BUFFER = 64 * 1024 * 1024
"""Bytes that the kernel keeps while this is busy: a packet that is missed would be a hole in a stream."""
RECORD_TYPES = {20, 21, 22, 23}
"""Of TLS (RFC 8446, 5.1): change of cipher, alert, handshake, application data."""
APPLICATION_DATA = 23
LONGEST_RECORD = 16384 + 256


class Flow(NamedTuple):
    """One direction of a TCP connection."""

    source: bytes
    source_port: int
    destination: bytes
    port: int


class Segment(NamedTuple):
    flow: Flow
    sequence: int
    starts: bool
    data: bytes


def main() -> None:
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL_PROTOCOLS))
    sniffer.setsockopt(socket.SOL_SOCKET, 33, BUFFER)  # SO_RCVBUFFORCE (socket(7))
    with Path(sys.argv[1]).open("wb") as file:
        print("listening", flush=True)
        while True:
            packet, (interface, _, kind, *_) = sniffer.recvfrom(LONGEST)
            if interface == "lo" and kind == socket.PACKET_OUTGOING:
                continue  # it comes in as well
            file.write(len(packet).to_bytes(4, "big") + packet)
            file.flush()


def packets(file: bytes) -> Iterator[bytes]:
    """The packets that were written down, from the header of IP on."""
    at = 0
    while at + 4 <= len(file):
        size = int.from_bytes(file[at : at + 4], "big")
        yield file[at + 4 : at + 4 + size]
        at += 4 + size


def streams(file: bytes) -> dict[Flow, bytes]:
    """What each side of each TCP connection said, in order, as far as its beginning was seen."""
    found: dict[Flow, bytearray] = {}
    begun: dict[Flow, int] = {}
    for segment in filter(None, map(_segment, packets(file))):
        if segment.starts:
            begun[segment.flow] = segment.sequence + 1
            found[segment.flow] = bytearray()
        elif segment.data and segment.flow in begun:
            at = (segment.sequence - begun[segment.flow]) % 2**32
            stream = found[segment.flow]
            stream.extend(bytes(max(0, at - len(stream))))
            stream[at : at + len(segment.data)] = segment.data
    return {flow: bytes(stream) for flow, stream in found.items()}


def _segment(packet: bytes) -> Segment | None:
    """The packet's part of a TCP connection (RFC 791, 8200, 9293), if it is one."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and packet[9] == TCP:
        size, total = 4 * (packet[0] & 15), int.from_bytes(packet[2:4], "big")
        source, destination = packet[12:16], packet[16:20]
        tcp = packet[size : total or None]
    elif version == 6 and packet[6] == TCP:
        source, destination = packet[8:24], packet[24:40]
        tcp = packet[40 : 40 + int.from_bytes(packet[4:6], "big")]
    else:
        return None
    ports = (int.from_bytes(tcp[at : at + 2], "big") for at in (0, 2))
    flow = Flow(source, next(ports), destination, next(ports))
    return Segment(flow, int.from_bytes(tcp[4:8], "big"), bool(tcp[13] & 2), tcp[4 * (tcp[12] >> 4) :])


def record_types(stream: bytes) -> list[int]:
    """The types of the TLS records that the stream consists of, a last one that is cut short too.

    Raises ``ValueError`` for anything else.
    """
    types, at = [], 0
    while at + 5 <= len(stream):
        kind, major, size = stream[at], stream[at + 1], int.from_bytes(stream[at + 3 : at + 5], "big")
        if kind not in RECORD_TYPES or major != 3 or size > LONGEST_RECORD:
            raise ValueError(f"no TLS record at {at} of {len(stream)} bytes: {stream[at : at + 16].hex()}")
        types.append(kind)
        at += 5 + size
    return types


if __name__ == "__main__":
    main()
