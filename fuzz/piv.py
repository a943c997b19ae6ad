"""What cards, and programs that talk to cards, say: TLV, APDUs, objects, and the virtual card as a whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from fuzz.target import attempt, counted, must, run, target
from sra.admin.guard.review import review
from sra.cards.pcsc import reader as pcsc_reader
from sra.cards.pcsc.pcsc_contents import read_card
from sra.cards.pcsc.piv import PcscPivApplication, way_to_card
from sra.cards.pkcs11 import use as pkcs11_rsa
from sra.errors import CardError, PinWrongError, ProtocolError, RefusedError, UsageError
from sra.piv import apdu, objects, tlv
from sra.piv.apdu import MAX_EXTENDED_RESPONSE, ApduError, Command, Status
from sra.piv.contents import contents_to_insert
from sra.piv.keys import (
    Algorithm,
    KeyDescription,
    KeyReply,
    KeyRequest,
    PinOutcome,
    PinPolicy,
    PinReply,
    PinRequest,
    Slot,
    purpose,
)
from sra.piv.objects import CERTIFICATES, MAX_CERTIFICATE, MAX_OBJECT, CardContents, build_certificate, certificate_in
from sra.remote.virtual_card.applet import Applet
from sra.remote.virtual_card.pin_commands import check_verify_structure, typed_pin
from tests.piv_blocks import build_compressed_certificate

_TAGS = (b"\x5f\xc1\x05", b"\x53\x82", b"\x70\x82", b"\x71\x01\x01", b"\xfe\x00", b"\x7c\x82", b"\x82\x00", b"\x81\x82")
_COMMANDS = (
    bytes.fromhex("0009" "00A404000BA000000308000010000100"),
    bytes.fromhex("00CB3FFF055C035FC105"), bytes.fromhex("0020008008313233343536FFFF"), bytes.fromhex("00C00000"),
    bytes.fromhex("1087119A"), bytes.fromhex("0087119A267C2482008120"), bytes.fromhex("FFC20106"),
)  # fmt: skip


@target(words=_TAGS)
def fuzz_tlv(data: bytes) -> None:
    """BER-TLV as PIV has it; what is written again is read as it was."""
    elements = attempt(tlv.TlvError, tlv.parse, data)
    attempt(tlv.TlvError, tlv.fields, data)
    attempt(tlv.TlvError, tlv.unwrap, 0x53, data)
    if elements is not None:
        again = b"".join(tlv.encode(element.tag, element.value) for element in elements)
        must(len(again) <= len(data), "what we write is the shortest form")
        if all(element.tag for element in elements):
            must(tlv.parse(again) == elements, "elements that were read are read again as they were")


@target()
def fuzz_apdu(data: bytes) -> None:
    """A command APDU, and a response."""
    command = attempt(ApduError, apdu.parse_command, data)
    if command is not None:
        must(apdu.parse_command(command.encode()) == command, "a command that was read is read again as it was")
        must(len(repr(command)) < 100, "a command's data is not in its repr")
    response = attempt(ApduError, apdu.parse_response, data)
    must(response is None or response.encode() == data, "a response is written as it was read")


@target(max_len=MAX_OBJECT, words=_TAGS)
def fuzz_certificate_container(data: bytes) -> None:
    """A certificate object, compressed perhaps: it unpacks to no more than a certificate."""
    found = attempt(CardError, certificate_in, data)
    must(found is None or 0 < len(found) <= max(MAX_CERTIFICATE, len(data)), "a certificate is bounded")
    if data:
        must(certificate_in(build_certificate(data)) == data, "what was put in comes out")
        must(certificate_in(build_compressed_certificate(data)) == data, "what was compressed comes out")
    packed = tlv.encode(0x70, data) + tlv.encode(0x71, b"\x01")
    unpacked = attempt(CardError, certificate_in, packed)
    must(unpacked is None or len(unpacked) <= MAX_CERTIFICATE, "what is unpacked is bounded")


@target(max_len=2048, words=_TAGS)
def fuzz_card_objects(data: bytes) -> None:
    """Key history, CHUID, and which of what a card holds is inserted."""
    history = attempt(CardError, objects.parse_key_history, data)
    if history is not None:
        must(0 <= history.on_card + history.off_card <= objects.MAX_RETIRED, "a card has at most 20 retired keys")
    guid = objects.guid_of(data)
    must(guid is None or len(guid) == objects.GUID_SIZE, "a GUID has 16 bytes")
    keys = tuple(KeyDescription(slot, Algorithm.P256, PinPolicy.ONCE) for slot in (Slot.AUTHENTICATION, Slot.RETIRED_2))
    held = CardContents({objects.CHUID: data, CERTIFICATES[Slot.AUTHENTICATION]: data, 0x5FC103: data}, keys)
    inserted = contents_to_insert(held, (Slot.AUTHENTICATION,), bytes(16))
    must(0x5FC103 not in inserted.objects, "biometrics are not inserted")
    must({key.slot for key in inserted.keys} <= {Slot.AUTHENTICATION}, "only what was chosen is inserted")


class _Answering:
    """The other side of the virtual card: it answers every key use and PIN question."""

    async def use_key(self, request: KeyRequest) -> KeyReply:
        must(request.operation is purpose(request.slot, request.algorithm), "a key is used for its purpose only")
        return KeyReply(bytes(request.algorithm.size))

    async def check_pin(self, request: PinRequest) -> PinReply:
        must(request.typed is None or 1 <= len(request.typed) <= 8, "a PIN has 1 to 8 bytes")
        return PinReply(PinOutcome.VERIFIED, 3)


@contextmanager
def _no_defects() -> Iterator[None]:
    """While this lasts, what the virtual card logs is looked at, and only then: tests import this too."""
    defects = _Defects()
    logging.getLogger("sra.card").addHandler(defects)
    try:
        yield
    finally:
        logging.getLogger("sra.card").removeHandler(defects)


class _Defects(logging.Handler):
    """A command that ends in a defect of the virtual card is a finding, though the card answers 6F00."""

    def emit(self, record: logging.LogRecord) -> None:
        must(record.levelno < logging.ERROR, f"the virtual card logs: {record.getMessage()}")


_KEYS = (
    KeyDescription(Slot.AUTHENTICATION, Algorithm.P256, PinPolicy.ONCE),
    KeyDescription(Slot.SIGNATURE, Algorithm.RSA_2048, PinPolicy.ALWAYS),
    KeyDescription(Slot.KEY_MANAGEMENT, Algorithm.P384, PinPolicy.NEVER),
)
_CONTENTS = CardContents({CERTIFICATES[Slot.AUTHENTICATION]: bytes(600), objects.CHUID: b"chuid"}, _KEYS)


@target(max_len=2048, words=_COMMANDS)
def fuzz_applet(data: bytes) -> None:
    """The virtual card, command after command: it answers each, and holds no more than a command can bring."""
    other = _Answering()
    card = Applet(
        _CONTENTS, other, other, random_bytes=bytes, clock=lambda: 0.0, pin_idle=30.0, pin_pad=bool(data[:1] > b"\x7f")
    )
    with _no_defects():
        for command in counted(data[1:]):
            answer = run(card.transmit(command))
            must(2 <= len(answer) <= MAX_EXTENDED_RESPONSE + 2, "an answer is a response APDU")
            must(answer != Status.UNKNOWN_ERROR.to_bytes(2, "big"), "no command ends in a defect")


@target(max_len=512)
def fuzz_pin_structures(data: bytes) -> None:
    """A typed PIN, a PIN_VERIFY_STRUCTURE, and a reader's list of features."""
    pin = attempt(CardError, typed_pin, data)
    must(pin is None or (1 <= len(pin) <= 8 and data.startswith(pin)), "a PIN is what was typed")
    attempt(CardError, check_verify_structure, data)
    code = pcsc_reader.verify_control(data)
    must(code is None or 0 <= code < 2**32, "a control code has 32 bits")


class _Card:
    """A card that answers each command with the next of its answers, and has no more when they are spent."""

    def __init__(self, answers: Iterator[bytes]) -> None:
        self._answers = answers

    def transmit(self, command: bytes) -> bytes:
        must(4 <= len(command) <= 261 + 4, "commands to a card are short ones")
        return next(self._answers, b"\x6d\x00")


@target(max_len=8192, words=(*_TAGS, b"\x90\x00", b"\x61\x00", b"\x6c\x10", b"\x63\xc3"))
def fuzz_card_answers(data: bytes) -> None:
    """A card (or a reader) that answers anything: only card errors come of it, and a PIN's tries are 0 to 15."""
    if not data:
        return
    piv = PcscPivApplication(way_to_card(_Card(counted(data[1:])).transmit, bool(data[0] & 1)))
    refusals = (CardError, ProtocolError, UsageError)
    found = attempt(refusals, read_card, piv)
    if found is not None:
        must(sum(map(len, found.contents.objects.values())) < 2**22, "what a card holds is bounded")
    left = attempt(refusals, piv.attempts)
    must(left is None or 0 <= left <= 15, "0 to 15 tries are left")
    try:
        piv.verify(b"123456")
    except PinWrongError as error:
        must(1 <= error.attempts_remaining <= 15, "after a wrong PIN 1 to 15 tries are left")
    except refusals:
        pass
    attempt(refusals, piv.verify_on_pad, lambda: data[1:9])
    request = KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, purpose(Slot.AUTHENTICATION, Algorithm.P256), bytes(32))
    attempt(refusals, piv.use, request)


@target(max_len=600, words=(bytes.fromhex("3031300d060960864801650304020105000420"), b"\x00\x01\xff\xff", b"SRA-CHAL"))
def fuzz_signing_blocks(data: bytes) -> None:
    """What a remote asks to have signed: the guard says what it is, or refuses."""
    if len(data) < 2:
        return
    algorithms, slots = list(Algorithm), list(Slot)
    algorithm, slot = algorithms[data[0] % len(algorithms)], slots[data[1] % len(slots)]
    block = data[2:].ljust(algorithm.size, data[-1:])[:512]
    request = KeyRequest(slot, algorithm, purpose(slot, algorithm), block)
    signed = attempt(RefusedError, review, request, {slot: KeyDescription(slot, algorithm, PinPolicy.ONCE)})
    must(signed is None or b"SRA-CHAL" not in block, "what carries the challenge's tag is refused")
    content = attempt(CardError, pkcs11_rsa.strip_signature_padding, block)
    must(content is None or block.endswith(b"\x00" + content), "what is signed is the end of the block")
    restored = attempt(CardError, pkcs11_rsa.restore_encryption_padding, data, 512)
    must(restored is None or (len(restored) == 512 and restored.endswith(data)), "a block has its key's size")


def command_line(*commands: bytes) -> bytes:
    """Commands as ``fuzz_applet`` takes them."""
    return b"\xff" + b"".join(len(command).to_bytes(2, "big") + command for command in commands)


SELECT = Command(0x00, 0xA4, 0x04, 0x00, objects.PIV_AID, 256).encode()
