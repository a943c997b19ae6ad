"""The driver inside a real pcscd when card processes die, hang and lie, and folders come and go."""

import os
import shutil
import time

import pytest

from tests.reader.machine import (
    CARD_IS_GONE,
    CARD_USER,
    E_NOT_TRANSACTED,
    FIRST,
    SECOND,
    SELECT,
    Application,
    Machine,
    PcscError,
    next_good_card_works,
)


def test_a_card_process_that_is_killed_leaves_an_empty_reader(machine: Machine, application: Application) -> None:
    card = machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    card.kill()
    application.wait(FIRST, present=False)
    with pytest.raises(PcscError) as caught:
        application.ask("transmit", FIRST, SELECT)
    assert caught.value.code in CARD_IS_GONE
    assert (machine.readers / "0").exists()
    assert application.stays_empty(FIRST, 1.5)
    next_good_card_works(machine, application)


def test_a_card_process_that_is_killed_in_the_middle_of_an_answer(machine: Machine, application: Application) -> None:
    card = machine.insert("hang")
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    application.send("transmit", FIRST, SELECT)
    card.next("apdu")
    killed = time.monotonic()
    card.kill()
    with pytest.raises(PcscError):
        application.receive()
    assert time.monotonic() - killed < 1
    application.wait(FIRST, present=False)
    next_good_card_works(machine, application)


def test_a_card_process_that_hangs_is_out_after_three_seconds(machine: Machine, application: Application) -> None:
    card = machine.insert("hang")
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    begin = time.monotonic()
    with pytest.raises(PcscError) as caught:
        application.ask("transmit", FIRST, SELECT)
    assert caught.value.code == E_NOT_TRANSACTED
    assert 2.9 < time.monotonic() - begin < 4
    application.wait(FIRST, present=False, seconds=0.5)
    card.kill()
    next_good_card_works(machine, application)


def test_wait_extends_the_time_for_an_answer(machine: Machine, application: Application) -> None:
    machine.insert("wait")
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    begin = time.monotonic()
    assert application.ask("transmit", FIRST, SELECT) == SELECT + "9000"
    assert time.monotonic() - begin > 3.5


@pytest.mark.parametrize("behaviour", ["garbage", "oversized", "empty", "other-kind", "truncated", "flood"])
def test_a_wrong_answer_empties_the_reader(machine: Machine, application: Application, behaviour: str) -> None:
    card = machine.insert(behaviour)
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    with pytest.raises(PcscError):
        application.ask("transmit", FIRST, SELECT)
    application.wait(FIRST, present=False, seconds=0.5)
    card.kill()
    next_good_card_works(machine, application)


@pytest.mark.parametrize(
    "behaviour",
    ["silent", "garbage-greeting", "truncated-greeting", "oversized-greeting", "huge-greeting", "new-version"],
)
def test_without_a_valid_greeting_there_is_no_card(machine: Machine, application: Application, behaviour: str) -> None:
    card = machine.insert(behaviour)
    assert application.stays_empty(FIRST, 2.5)
    card.kill()
    next_good_card_works(machine, application)


def test_a_card_process_of_another_user_is_refused(idle_machine: Machine) -> None:
    idle_machine.insert()
    os.chown(idle_machine.readers, CARD_USER - 1, CARD_USER - 1)
    idle_machine.start_pcscd()
    application = idle_machine.application()
    assert application.stays_empty(FIRST, 1.5)
    assert "another user" in idle_machine.log
    os.chown(idle_machine.readers, CARD_USER, CARD_USER)
    application.wait(FIRST, present=True)


def test_a_card_process_of_root_is_taken(machine: Machine, application: Application) -> None:
    machine.insert(user=0)
    application.wait(FIRST, present=True)


def test_a_folder_that_others_may_write_in_is_refused(machine: Machine, application: Application) -> None:
    machine.readers.chmod(0o777)
    machine.insert()
    assert application.stays_empty(FIRST, 1.5)
    machine.readers.chmod(0o755)
    application.wait(FIRST, present=True)


def test_a_folder_that_is_made_later(machine: Machine, application: Application) -> None:
    shutil.rmtree(machine.run / "sra")
    assert application.stays_empty(FIRST, 0.5)
    for _ in range(2):
        (machine.run / "sra").mkdir()
        machine.make_folder()
        next_good_card_works(machine, application)
        shutil.rmtree(machine.run / "sra")


def test_a_card_that_nobody_uses_is_powered_down_and_up_again(machine: Machine, application: Application) -> None:
    card = machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    time.sleep(6)  # longer than pcscd's time of grace, which doesn't run while a program has the card
    application.ask("disconnect", FIRST)
    left = time.monotonic_ns()
    off = int(card.next("power off")["at"])
    assert 4 < (off - left) / 1e9 < 8
    assert application.ask("state", FIRST)["present"]
    application.ask("connect", FIRST)
    card.next("power on")
    assert application.ask("transmit", FIRST, SELECT) == SELECT + "9000"


def test_two_readers_are_independent(machine: Machine, application: Application) -> None:
    machine.insert("hang")
    good = machine.insert(number=1)
    application.wait(FIRST, present=True)
    application.wait(SECOND, present=True)
    other_application = machine.application()
    application.ask("connect", FIRST)
    other_application.ask("connect", SECOND)
    application.send("transmit", FIRST, SELECT)
    begin = time.monotonic()
    for _ in range(10):
        assert other_application.ask("transmit", SECOND, SELECT) == SELECT + "9000"
    assert time.monotonic() - begin < 1
    with pytest.raises(PcscError):
        application.receive()
    application.wait(FIRST, present=False)
    good.eject()
    application.wait(SECOND, present=False)


def test_pcscd_stops_when_it_is_told_to(machine: Machine, application: Application) -> None:
    machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    assert machine.pcscd is not None
    machine.pcscd.terminate()
    assert machine.pcscd.wait(3) == 0
