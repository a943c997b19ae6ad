"""Talking to a PIV card over a scripted line: what goes out, byte for byte, and what is made of the answers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.cards.pcsc.pcsc_contents import read_card
from sra.cards.pcsc.piv import PcscPivApplication, way_to_card
from sra.errors import (
    CardError,
    KeyMissingError,
    NotPivError,
    PinBlockedError,
    PinNeededError,
    PinWrongError,
    PukBlockedError,
    PukWrongError,
    UsageError,
)
from sra.piv.apdu import ApduError
from sra.piv.keys import Algorithm, KeyRequest, Operation, Slot
from sra.piv.objects import CERTIFICATES, CHUID, DISCOVERY
from sra.piv.tlv import TlvError

SELECT = "00A4040009A0000003080000100000"
VERIFY_EMPTY = "00200080"
SIGN_P256 = KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, Operation.SIGN, b"\xaa" * 32)
SIGN_P256_COMMAND = "0087119A267C24820081" + "20" + "AA" * 32 + "00"


class Line:
    """A card that expects exactly these commands, and gives these answers (hex)."""

    def __init__(self, *script: tuple[str, str]) -> None:
        self._script = list(script)

    def transmit(self, apdu: bytes) -> bytes:
        expected, answer = self._script.pop(0)
        assert apdu.hex().upper() == expected.upper()
        return bytes.fromhex(answer)

    def is_done(self) -> bool:
        return not self._script


def piv_over(line: Line, *, is_t0: bool = False) -> PcscPivApplication:
    return PcscPivApplication(way_to_card(line.transmit, is_t0))


def test_select_names_the_piv_application() -> None:
    line = Line((SELECT, "61084F06000010000100" + "9000"))
    piv_over(line).select()
    assert line.is_done()


@pytest.mark.parametrize("status", ["6A82", "6D00", "6E00", "6985"])
def test_a_card_without_piv_is_told_apart(status: str) -> None:
    with pytest.raises(NotPivError, match="not a PIV card"):
        piv_over(Line((SELECT, status))).select()


def test_an_object_is_what_is_in_its_template() -> None:
    line = Line(("00CB3FFF055C035FC10200", "5303AABBCC9000"))
    assert piv_over(line).read(CHUID) == b"\xaa\xbb\xcc"


def test_the_discovery_object_has_a_template_of_its_own() -> None:
    line = Line(("00CB3FFF035C017E00", "7E02AABB9000"))
    assert piv_over(line).read(DISCOVERY) == b"\xaa\xbb"


@pytest.mark.parametrize("answer", ["6A82", "6A88", "53009000"])
def test_absent_and_empty_objects_are_none(answer: str) -> None:
    assert piv_over(Line(("00CB3FFF055C035FC10200", answer))).read(CHUID) is None


@pytest.mark.parametrize("answer", ["9000", "54019000", "5305AA9000", "5303AABBCC009000"])
def test_damaged_objects_are_errors(answer: str) -> None:
    with pytest.raises(TlvError):
        piv_over(Line(("00CB3FFF055C035FC10200", answer))).read(CHUID)


def test_a_long_object_is_fetched_in_pieces() -> None:
    content = bytes(range(256)) * 2 + b"end"
    whole = b"\x53\x82\x02\x03" + content
    line = Line(
        ("00CB3FFF055C035FC10500", whole[:256].hex() + "6100"),
        ("00C0000000", whole[256:512].hex() + "6107"),
        ("00C0000007", whole[512:].hex() + "9000"),
    )
    assert piv_over(line).read(CERTIFICATES[Slot.AUTHENTICATION]) == content


def test_an_object_without_end_is_given_up() -> None:
    answers = [("00CB3FFF055C035FC10200", "00" * 256 + "6100"), *[("00C0000000", "00" * 256 + "6100")] * 40]
    with pytest.raises(ApduError, match="does not end"):
        piv_over(Line(*answers)).read(CHUID)


def test_the_length_that_the_card_wants_is_used() -> None:
    line = Line(
        ("00CB3FFF055C035FC10200", "6C05"),
        ("00CB3FFF055C035FC10205", "5303AABBCC9000"),
    )
    assert piv_over(line).read(CHUID) == b"\xaa\xbb\xcc"


def test_over_t0_a_command_with_data_has_no_le() -> None:
    line = Line(
        ("00CB3FFF055C035FC102", "6105"),
        ("00C0000005", "6C05"),
        ("00C0000005", "5303AABBCC9000"),
    )
    assert piv_over(line, is_t0=True).read(CHUID) == b"\xaa\xbb\xcc"
    assert line.is_done()


@pytest.mark.parametrize(
    ("status", "tries"), [("63C3", 3), ("63C1", 1), ("63CF", 15), ("63C0", 0), ("6983", 0), ("9000", None)]
)
def test_tries_are_asked_without_a_pin(status: str, tries: int | None) -> None:
    assert piv_over(Line((VERIFY_EMPTY, status))).attempts() == tries


def test_a_pin_is_padded_and_goes_to_piv_only() -> None:
    line = Line((SELECT, "9000"), ("0020008008313233343536FFFF", "9000"))
    piv_over(line).verify(b"123456")
    assert line.is_done()


def test_no_pin_goes_to_a_card_that_is_not_piv_any_more() -> None:
    with pytest.raises(NotPivError):
        piv_over(Line((SELECT, "6A82"))).verify(b"123456")


@pytest.mark.parametrize(("status", "tries"), [("63C2", 2), ("63C1", 1)])
def test_a_wrong_pin_tells_the_tries(status: str, tries: int) -> None:
    with pytest.raises(PinWrongError) as caught:
        piv_over(Line((SELECT, "9000"), ("0020008008313233343536FFFF", status))).verify(b"123456")
    assert caught.value.attempts_remaining == tries


@pytest.mark.parametrize("status", ["6983", "63C0"])
def test_a_pin_without_tries_is_blocked(status: str) -> None:
    with pytest.raises(PinBlockedError):
        piv_over(Line((SELECT, "9000"), ("0020008008313233343536FFFF", status))).verify(b"123456")


def test_another_answer_to_a_pin_is_told() -> None:
    with pytest.raises(CardError, match="6F00"):
        piv_over(Line((SELECT, "9000"), ("0020008008313233343536FFFF", "6F00"))).verify(b"123456")


CODES = b"654321".hex() + "FFFF" + b"777777".hex() + "FFFF"


def test_a_pin_is_changed_by_the_old_and_the_new_one() -> None:
    line = Line((SELECT, "9000"), ("0024008010" + CODES, "9000"))
    piv_over(line).change_pin(b"654321", b"777777")
    assert line.is_done()


def test_a_pin_is_unblocked_by_the_puk_and_the_new_one() -> None:
    line = Line((SELECT, "9000"), ("002C008010" + CODES, "9000"))
    piv_over(line).unblock_pin(b"654321", b"777777")
    assert line.is_done()


@pytest.mark.parametrize(("status", "left"), [("63C2", 2), ("63C1", 1)])
def test_a_wrong_code_tells_its_own_tries(status: str, left: int) -> None:
    with pytest.raises(PinWrongError) as pin:
        piv_over(Line((SELECT, "9000"), ("0024008010" + CODES, status))).change_pin(b"654321", b"777777")
    with pytest.raises(PukWrongError) as puk:
        piv_over(Line((SELECT, "9000"), ("002C008010" + CODES, status))).unblock_pin(b"654321", b"777777")
    assert (pin.value.attempts_remaining, puk.value.attempts_remaining) == (left, left)


@pytest.mark.parametrize("status", ["6983", "63C0"])
def test_a_blocked_code_says_which(status: str) -> None:
    with pytest.raises(PinBlockedError):
        piv_over(Line((SELECT, "9000"), ("0024008010" + CODES, status))).change_pin(b"654321", b"777777")
    with pytest.raises(PukBlockedError):
        piv_over(Line((SELECT, "9000"), ("002C008010" + CODES, status))).unblock_pin(b"654321", b"777777")


@pytest.mark.parametrize("status", ["6A80", "6985"])
def test_a_new_pin_that_the_card_does_not_take_is_told(status: str) -> None:
    with pytest.raises(UsageError, match="new PIN"):
        piv_over(Line((SELECT, "9000"), ("0024008010" + CODES, status))).change_pin(b"654321", b"777777")


@pytest.mark.parametrize(("answer", "knows"), [("9000", True), ("6A86", False), ("6D00", False)])
def test_a_card_forgets_its_pin_or_does_not_know_how(answer: str, *, knows: bool) -> None:
    again = [] if knows else [(SELECT, "9000"), ("0020FF80", answer)]
    assert piv_over(Line(("0020FF80", answer), *again)).forget_pin() is knows


def test_what_the_reader_answers_for_its_pad_is_told() -> None:
    for status, error in (("6400", PinNeededError), ("6401", PinNeededError), ("6403", PinNeededError)):
        with pytest.raises(error):
            piv_over(Line((SELECT, "9000"))).verify_on_pad(lambda status=status: bytes.fromhex(status))  # type: ignore[misc]


def test_a_signature_comes_out_of_its_template() -> None:
    line = Line((SIGN_P256_COMMAND, "7C0682043002AABB9000"))
    assert piv_over(line).use(SIGN_P256) == bytes.fromhex("3002AABB")


def test_a_short_digest_is_filled_up_in_front() -> None:
    request = KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, Operation.SIGN, b"\xaa" * 20)
    line = Line(("0087119A267C24820081" + "20" + "00" * 12 + "AA" * 20 + "00", "7C048202AABB9000"))
    assert piv_over(line).use(request) == b"\xaa\xbb"


def test_a_derivation_has_another_tag() -> None:
    request = KeyRequest(Slot.KEY_MANAGEMENT, Algorithm.P256, Operation.DERIVE, b"\4" + b"\xaa" * 64)
    line = Line(("0087119D477C4582008541" + "04" + "AA" * 64 + "00", "7C048202AABB9000"))
    assert piv_over(line).use(request) == b"\xaa\xbb"


def test_an_rsa_block_goes_in_a_chain_and_comes_in_pieces() -> None:
    block, result = b"\0" + b"\xaa" * 255, b"\xbb" * 256
    template = bytes.fromhex("7C82010682008182" + "0100") + block
    answer = bytes.fromhex("7C8201048282" + "0100") + result
    line = Line(
        ("1087079AFF" + template[:255].hex(), "9000"),
        ("0087079A0B" + template[255:].hex() + "00", answer[:256].hex() + "6108"),
        ("00C0000008", answer[256:].hex() + "9000"),
    )
    assert piv_over(line).use(KeyRequest(Slot.AUTHENTICATION, Algorithm.RSA_2048, Operation.SIGN, block)) == result
    assert line.is_done()


def test_a_chain_that_the_card_refuses_ends() -> None:
    line = Line(("1087079AFF" + "7C820106820081820100" + "00" * 245, "6982"))
    with pytest.raises(PinNeededError, match="9A"):
        piv_over(line).use(KeyRequest(Slot.AUTHENTICATION, Algorithm.RSA_2048, Operation.SIGN, bytes(256)))


@pytest.mark.parametrize("status", ["6A86", "6A88"])
def test_a_missing_key_is_told_after_piv_was_selected_again(status: str) -> None:
    line = Line((SIGN_P256_COMMAND, status), (SELECT, "9000"), (SIGN_P256_COMMAND, status))
    with pytest.raises(KeyMissingError, match="no P256 key 9A"):
        piv_over(line).use(SIGN_P256)


@pytest.mark.parametrize("status", ["6D00", "6E00", "6985", "6A86", "6B00"])
def test_where_another_application_answers_piv_is_selected_again(status: str) -> None:
    line = Line((SIGN_P256_COMMAND, status), (SELECT, "9000"), (SIGN_P256_COMMAND, "7C048202AABB9000"))
    assert piv_over(line).use(SIGN_P256) == b"\xaa\xbb"


@pytest.mark.parametrize("status", ["6A80", "6F00", "6581"])
def test_other_status_words_are_told(status: str) -> None:
    with pytest.raises(CardError, match=status):
        piv_over(Line((SIGN_P256_COMMAND, status))).use(SIGN_P256)


@pytest.mark.parametrize("answer", ["", "90"])
def test_what_is_no_response_is_an_error(answer: str) -> None:
    with pytest.raises(ApduError):
        piv_over(Line((SELECT, answer))).select()


@pytest.mark.parametrize("length", range(8))
def test_an_answer_cut_short_anywhere_never_passes_as_a_signature(length: int) -> None:
    answer = bytes.fromhex("7C0682043002AABB")[:length]
    with pytest.raises(TlvError):
        piv_over(Line((SIGN_P256_COMMAND, answer.hex() + "9000"))).use(SIGN_P256)


@pytest.mark.parametrize("answer", ["7C00", "7C028200", "7C0481020102", "7D0482020102"])
def test_an_answer_without_a_result_is_an_error(answer: str) -> None:
    with pytest.raises(TlvError):
        piv_over(Line((SIGN_P256_COMMAND, answer + "9000"))).use(SIGN_P256)


ACTIONS: list[Callable[[PcscPivApplication], object]] = [
    lambda piv: piv.select(),
    lambda piv: piv.attempts(),
    lambda piv: piv.verify(b"123456"),
    lambda piv: piv.change_pin(b"123456", b"777777"),
    lambda piv: piv.unblock_pin(b"123456", b"777777"),
    lambda piv: piv.forget_pin(),
    read_card,
    lambda piv: piv.read(CHUID),
    lambda piv: piv.use(SIGN_P256),
]


@given(st.lists(st.binary(max_size=300) | st.sampled_from([b"\x61\x00", b"\x6c\x10", b"\x90\x00"]), max_size=8))
def test_whatever_a_card_answers_the_worst_is_an_error_of_ours(answers: list[bytes]) -> None:
    for action in ACTIONS:
        left = iter(answers)
        piv = PcscPivApplication(way_to_card(lambda _, left=left: next(left, b"\x6f\x00"), is_t0=True))  # type: ignore[misc]
        with contextlib.suppress(CardError, ApduError, UsageError):
            action(piv)
