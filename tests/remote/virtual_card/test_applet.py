"""The virtual card as any local program sees it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sra.piv import objects, tlv
from sra.piv.keys import Algorithm, PinReply, PinRequest, Slot
from sra.piv.objects import CERTIFICATES, PIV_AID, build_certificate
from sra.remote.virtual_card.applet import PROPERTIES, Applet
from tests.remote.virtual_card.recording import (
    SELECT,
    VERIFY,
    RecordingKeys,
    RecordingPinCheck,
    certificate_of,
    make_world,
)

CARD = ((Slot.AUTHENTICATION, Algorithm.RSA_2048), (Slot.KEY_MANAGEMENT, Algorithm.P256))


def get_data(tag: int) -> bytes:
    name = tlv.encode(0x5C, tag.to_bytes((tag.bit_length() + 7) // 8, "big"))
    return bytes.fromhex("00CB3FFF") + bytes([len(name)]) + name + b"\0"


@pytest.mark.parametrize("p2", ["00", "01", "02", "04"])
@pytest.mark.parametrize("size", [5, 9, 11])
def test_the_application_is_selected_by_its_name_or_the_beginning_of_it(size: int, p2: str) -> None:
    world = make_world(selected=False)
    select = bytes.fromhex(f"00A404{p2}") + bytes([size]) + PIV_AID[:size] + b"\0"
    assert world.transmit(select) == (PROPERTIES, 0x9000)
    assert world.status(get_data(objects.CHUID)) == 0x9000


def test_the_properties_name_the_application() -> None:
    assert bytes.fromhex("61114F0600001000010079074F05A000000308") == PROPERTIES


def test_select_without_wanting_properties_gets_none() -> None:
    assert make_world().transmit(bytes.fromhex("00A4040C0B") + PIV_AID) == (b"", 0x9000)


@pytest.mark.parametrize(
    "select",
    [
        "00A40400",
        "00A4040004A0000003",
        "00A40400 07627601FF000000",
        "00A40400 06A00000000101",
        "00A40400 0BE82B0601040181C31F0201",
        "00A4040C 0FD23300000045737445494420763335",
        "00A40400 0CA00000030800001000010000",
        "00A40000 023F00",
    ],
)
def test_whatever_else_is_selected_piv_stays_selected(select: str) -> None:
    world = make_world()
    assert world.status(select) == 0x6A82
    assert world.status(get_data(objects.CHUID)) == 0x9000


@pytest.mark.parametrize("command", [get_data(objects.CHUID), VERIFY, bytes.fromhex("00200080"), get_data(0x7E)])
def test_nothing_is_answered_before_piv_is_selected(command: bytes) -> None:
    world = make_world(*CARD, selected=False)
    assert world.status(command) == 0x6D00
    assert world.asked == 0


def test_certificates_cost_no_round_trip() -> None:
    world = make_world((Slot.AUTHENTICATION, Algorithm.P256))
    expected = tlv.encode(0x53, build_certificate(certificate_of(Slot.AUTHENTICATION)))
    command = bytes.fromhex("00CB3FFF0000055C035FC1050000")
    assert world.transmit(command) == (expected, 0x9000)
    assert world.asked == 0


def test_a_long_object_comes_in_pieces() -> None:
    world = make_world((Slot.AUTHENTICATION, Algorithm.P256))
    data, status = world.transmit(get_data(CERTIFICATES[Slot.AUTHENTICATION]))
    while status >> 8 == 0x61:
        more, status = world.transmit(bytes.fromhex("00C00000") + bytes([status & 0xFF]))
        data += more
    assert (data[:1], status) == (b"\x53", 0x9000)
    assert tlv.unwrap(0x53, data) == build_certificate(certificate_of(Slot.AUTHENTICATION))


def test_discovery_is_its_own_template() -> None:
    assert make_world().transmit(get_data(0x7E)) == (tlv.encode(0x7E, objects.build_discovery()), 0x9000)


def test_discovery_may_be_asked_for_eight_bytes_first() -> None:
    assert make_world().transmit("00CB3FFF035C017E08") == (bytes.fromhex("7E124F0BA0000003"), 0x610C)


@pytest.mark.parametrize("tag", [0x5FC109, 0x5FC103, 0x5FC121, 0x5FC106, 0x5FC105, 0x7F61, 0x53])
def test_absent_objects_are_not_found(tag: int) -> None:
    assert make_world().transmit(get_data(tag)) == (b"", 0x6A82)


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("00CB0000055C035FC102", 0x6A86),
        ("00CB3FFF", 0x6A80),
        ("00CB3FFF025C00", 0x6A80),
        ("00CB3FFF065C045FC10200", 0x6A80),
        ("00CB3FFF055D035FC102", 0x6A80),
        ("00CB3FFF075C035FC1025C00", 0x6A80),
        ("00CB3FFF055C045FC102", 0x6A80),
    ],
)
def test_malformed_questions_for_objects_are_refused(command: str, status: int) -> None:
    assert make_world().status(command) == status


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("00240080 10313233343536FFFF363534333231FFFF", 0x6A81),
        ("002C0080 103132333435363738313233343536FFFF", 0x6A81),
        ("00DB3FFF 075C035FC1025300", 0x6982),
        ("10DB3FFF 075C035FC1025300", 0x6884),
        ("0047009A 05AC03800111", 0x6982),
        ("00CADF30 05", 0x6D00),
        ("00F80000", 0x6D00),
        ("00FD0000", 0x6D00),
        ("00700000 01", 0x6D00),
        ("00C00000 00", 0x6985),
        ("01CB3FFF 055C035FC102", 0x6881),
        ("04CB3FFF 055C035FC102", 0x6882),
        ("0CCB3FFF 055C035FC102", 0x6882),
        ("80CB3FFF 055C035FC102", 0x6E00),
        ("FFCA0000 00", 0x6E00),
        ("00CB3FFF 095C03", 0x6700),
        ("00CB", 0x6700),
        ("", 0x6700),
    ],
)
def test_everything_that_a_read_only_card_refuses(command: str, status: int) -> None:
    world = make_world(*CARD, pin_pad=True)
    world.transmit(VERIFY)
    world.pins.asked.clear()
    assert world.transmit(command) == (b"", status)
    assert world.asked == 0


def test_reset_ends_selection_pin_state_and_what_was_half_said() -> None:
    world = make_world(*CARD)
    world.transmit(VERIFY)
    world.transmit(get_data(CERTIFICATES[Slot.AUTHENTICATION]))
    world.applet.reset()
    assert world.status("00C0000000") == 0x6985
    assert world.status(get_data(objects.CHUID)) == 0x6D00
    world.transmit(SELECT)
    assert world.status("00200080") == 0x63C3


def test_selecting_again_keeps_the_pin_state() -> None:
    world = make_world(*CARD)
    world.transmit(VERIFY)
    world.transmit(SELECT)
    assert world.status("00200080") == 0x9000


def test_a_pin_that_is_verified_after_a_reset_is_of_the_time_before() -> None:
    class SlowPinCheck(RecordingPinCheck):
        async def check_pin(self, request: PinRequest) -> PinReply:
            world.applet.reset()
            return await super().check_pin(request)

    world = make_world(*CARD)
    applet = Applet(
        objects.CardContents(objects={}, keys=()),
        RecordingKeys(),
        SlowPinCheck(),
        random_bytes=bytes,
        clock=world.clock,
        pin_idle=60,
        pin_pad=False,
    )
    world.applet = applet
    world.transmit(SELECT)
    assert world.status(VERIFY) == 0x9000
    world.transmit(SELECT)
    assert world.status("00200080") == 0x63C3


def test_a_defect_is_answered_and_never_raised(caplog: pytest.LogCaptureFixture) -> None:
    world = make_world(*CARD)
    world.pins.error = ValueError("123456")
    assert world.status(VERIFY) == 0x6F00
    assert "ValueError" in caplog.text
    assert "123456" not in caplog.text


def test_cancellation_goes_through() -> None:
    world = make_world(*CARD)
    world.pins.error = asyncio.CancelledError()  # type: ignore[assignment]
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(world.applet.transmit(VERIFY))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=10))
def test_any_bytes_get_a_status_word(commands: list[bytes]) -> None:
    world = make_world(*CARD, pin_pad=True)
    for command in commands:
        assert 0x6100 <= world.status(command) <= 0x9000


@settings(deadline=None)
@given(
    st.sampled_from([0x00, 0x10, 0xFF]),
    st.sampled_from([0x20, 0x24, 0x2C, 0x47, 0x87, 0xA4, 0xC0, 0xC2, 0xCB, 0xDB]),
    st.sampled_from([(0x00, 0x80), (0x01, 0x06), (0x3F, 0xFF), (0x07, 0x9A), (0x11, 0x9D), (0x00, 0x9B), (0x04, 0x00)]),
    st.binary(max_size=255),
)
def test_known_commands_with_any_data_never_reach_a_key_without_a_pin(
    cla: int, ins: int, parameters: tuple[int, int], data: bytes
) -> None:
    world = make_world(*CARD)
    world.transmit(bytes([cla, ins, *parameters, len(data)]) + data)
    assert world.keys.asked == []
