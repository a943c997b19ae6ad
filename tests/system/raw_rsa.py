"""A program without PKCS#11: an RSA key of the card in a reader signs or decrypts a raw block, APDU by APDU.

python raw_rsa.py SLOT ALGORITHM PIN BLOCK, all but the PIN in hexadecimal; prints the block that comes out.
"""

from __future__ import annotations

import sys

from smartcard.CardConnection import CardConnection
from smartcard.System import readers

SELECT_PIV = bytes.fromhex("00A40400 09 A00000030800001000 00")
PART = 255


class Refused(Exception):  # noqa: N818 - the card's word
    """The card answered with another status word than 9000."""


def connection_to_card() -> CardConnection:
    for reader in readers():
        connection = reader.createConnection()
        try:
            connection.connect()
        except Exception:  # noqa: BLE001, S112 - no card in that reader
            continue
        return connection
    raise Refused("no card in any reader")


def transmit(connection: CardConnection, apdu: bytes) -> bytes:
    """The whole answer, fetched with GET RESPONSE in pieces."""
    answer = bytearray()
    data, first, second = connection.transmit(list(apdu))
    answer += bytes(data)
    while first == 0x61:
        data, first, second = connection.transmit([0x00, 0xC0, 0x00, 0x00, second])
        answer += bytes(data)
    if (first, second) != (0x90, 0x00):
        raise Refused(f"{first:02X}{second:02X}")
    return bytes(answer)


def use(connection: CardConnection, slot: int, algorithm: int, block: bytes) -> bytes:
    field = b"\x81\x82" + len(block).to_bytes(2, "big") + block
    inner = b"\x82\x00" + field
    template = b"\x7c\x82" + len(inner).to_bytes(2, "big") + inner
    parts = [template[at : at + PART] for at in range(0, len(template), PART)]
    for part in parts[:-1]:
        transmit(connection, bytes([0x10, 0x87, algorithm, slot, len(part)]) + part)
    answer = transmit(connection, bytes([0x00, 0x87, algorithm, slot, len(parts[-1])]) + parts[-1] + b"\x00")
    return answer[-len(block) :]


def main() -> None:
    slot, algorithm, pin, block = sys.argv[1:]
    connection = connection_to_card()
    try:
        transmit(connection, SELECT_PIV)
        transmit(connection, bytes([0x00, 0x20, 0x00, 0x80, 0x08]) + pin.encode().ljust(8, b"\xff"))
        print(use(connection, int(slot, 16), int(algorithm, 16), bytes.fromhex(block)).hex())
    except Refused as error:
        sys.exit(f"refused: {error}")
    finally:
        connection.disconnect()


if __name__ == "__main__":
    main()
