"""The driver inside a real pcscd, with a fake card process on one side and a real PC/SC application on the other.

Each test has a pcscd of its own, in namespaces of its own: nothing of the machine is touched, and nothing is left.
"""

import statistics
import sys
import time

import pytest

from tests.reader.machine import (
    ATR,
    CARD_IS_GONE,
    E_UNSUPPORTED_FEATURE,
    FIRST,
    IFD_PIN_PROPERTIES,
    SECOND,
    SELECT,
    VERIFY_PIN_DIRECT,
    Application,
    Machine,
    PcscError,
)


def test_there_are_two_readers_and_both_are_empty(application: Application) -> None:
    assert application.ask("readers") == [FIRST, SECOND]
    for reader in (FIRST, SECOND):
        assert application.ask("state", reader) == {"present": False, "atr": ""}


def test_a_card_is_inserted_used_and_removed(machine: Machine, application: Application) -> None:
    card = machine.insert()
    application.wait(FIRST, present=True)
    assert application.ask("state", FIRST) == {"present": True, "atr": ATR}
    assert application.ask("connect", FIRST) == 2  # SCARD_PROTOCOL_T1
    card.next("power on")
    assert application.ask("transmit", FIRST, SELECT) == SELECT + "9000"
    assert card.next("apdu")["command"] == SELECT
    card.eject()
    application.wait(FIRST, present=False)
    with pytest.raises(PcscError) as caught:
        application.ask("transmit", FIRST, SELECT)
    assert caught.value.code in CARD_IS_GONE


def test_insertion_and_removal_are_seen_at_once(machine: Machine, application: Application) -> None:
    insertions, removals = [], []
    for _ in range(15):
        application.send("wait", FIRST, True, 5)
        time.sleep(0.05)
        card = machine.insert()
        insertions.append((int(application.receive()) - card.inserted_at) / 1e6)
        application.send("wait", FIRST, False, 5)
        time.sleep(0.05)
        ejected = card.eject()
        removals.append((int(application.receive()) - ejected) / 1e6)
    insertion, removal = statistics.median(insertions), statistics.median(removals)
    sys.stdout.write(f"insertion {insertion:.2f} ms (at most {max(insertions):.2f}), ")
    sys.stdout.write(f"removal {removal:.2f} ms (at most {max(removals):.2f})\n")
    # Without events it would be 200 ms; the rest is room for a machine that has other things to do.
    assert insertion < 150
    assert removal < 150


def test_a_card_that_was_in_before_pcscd_started_is_found_at_once(idle_machine: Machine) -> None:
    idle_machine.insert()
    idle_machine.start_pcscd()
    application = idle_machine.application()
    assert application.ask("state", FIRST) == {"present": True, "atr": ATR}


# 65,529: its answer is the command and a status word, 65,538 bytes, and no response is longer than that.
@pytest.mark.parametrize("length", [255, 4096, 65_529])
def test_extended_apdus(machine: Machine, application: Application, length: int) -> None:
    machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    command = "00cb3fff00" + length.to_bytes(2, "big").hex() + "a5" * length
    assert application.ask("transmit", FIRST, command) == command + "9000"


def test_an_answer_in_pieces(machine: Machine, application: Application) -> None:
    machine.insert("pieces")
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    assert application.ask("transmit", FIRST, SELECT) == SELECT + "9000"


def test_a_pin_pad_is_offered_and_its_question_reaches_the_card(machine: Machine, application: Application) -> None:
    card = machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    features = {int(tag): code for tag, code in application.ask("features", FIRST).items()}
    assert set(features) == {VERIFY_PIN_DIRECT, IFD_PIN_PROPERTIES}
    assert len(bytes.fromhex(application.ask("control", FIRST, features[IFD_PIN_PROPERTIES], ""))) == 4
    structure = "1e1e8247000804020109040000000000" + "0d000000" + "0020008008ffffffffffffffff"
    expected = f"ffc20106{len(structure) // 2:02x}" + structure
    assert application.ask("control", FIRST, features[VERIFY_PIN_DIRECT], structure) == expected + "9000"
    assert card.next("apdu")["command"] == expected


def test_no_pin_pad_is_offered_without_the_flag(machine: Machine, application: Application) -> None:
    machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    code = application.ask("features", FIRST)[str(VERIFY_PIN_DIRECT)]
    machine.insert(number=1, flags=0)
    application.wait(SECOND, present=True)
    application.ask("connect", SECOND)
    assert application.ask("features", SECOND) == {}
    with pytest.raises(PcscError) as caught:
        application.ask("control", SECOND, code, "00" * 32)
    assert caught.value.code == E_UNSUPPORTED_FEATURE


def test_an_empty_reader_offers_the_pin_pad_to_a_program_that_asks_once(application: Application) -> None:
    application.ask("connect_to_reader", FIRST)
    assert str(VERIFY_PIN_DIRECT) in application.ask("features", FIRST)
