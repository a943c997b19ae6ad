import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from lab.processes import wait_until
from sra.errors import RefusalCode
from sra.remote.license.latest_time import SETTLING, LatestTime
from sra.remote.license.profile import ProfileError
from sra.remote.license.statement import LicenseError, LicenseProblem
from sra.remote.license.store import INSTALLED_NAME, LicensePlaces, LicenseStore
from tests.remote.license.made import (
    DAY,
    HOST,
    ISSUER,
    NOW,
    STRANGER,
    USUAL,
    Machine,
    changed,
    forged,
    profile_of,
    profile_of_several,
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def problem_of(store: LicenseStore, clock: float = NOW) -> LicenseProblem:
    with pytest.raises(LicenseError) as caught:
        store.check(clock)
    assert caught.value.code is RefusalCode.LICENSE
    assert HOST in caught.value.text
    return caught.value.problem


def test_a_license_that_holds_lets_admins_come(machine: Machine) -> None:
    machine.put(profile_of())
    assert machine.store().check(NOW) == USUAL


def test_without_one_nobody_comes(machine: Machine) -> None:
    assert problem_of(machine.store()) is LicenseProblem.NONE
    machine.profiles.rmdir()
    assert problem_of(machine.store()) is LicenseProblem.NONE


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (profile_of(changed(ends=int(NOW))), LicenseProblem.EXPIRED),
        (profile_of(changed(begins=int(NOW) + 1)), LicenseProblem.NOT_YET_VALID),
        (profile_of(changed(hosts=("other",))), LicenseProblem.OTHER_HOST),
        (profile_of(changed(features=())), LicenseProblem.OTHER_FEATURE),
        (profile_of(key=STRANGER), LicenseProblem.UNKNOWN_ISSUER),
        (forged(), LicenseProblem.BAD_SIGNATURE),
        (profile_of()[:-30], LicenseProblem.DAMAGED),
        (b"", LicenseProblem.DAMAGED),
    ],
)
def test_every_other_one_lets_nobody_come(machine: Machine, data: bytes, problem: LicenseProblem) -> None:
    machine.put(data)
    assert problem_of(machine.store()) is problem


def test_what_strangers_read_names_no_customer_and_no_file(machine: Machine) -> None:
    for data in (profile_of(changed(hosts=("secret-host",))), b"x", profile_of(key=STRANGER)):
        path = machine.put(data)
        with pytest.raises(LicenseError) as caught:
            machine.store().check(NOW)
        for secret in ("Example Ltd", "secret-host", str(path), str(machine.issuers)):
            assert secret not in caught.value.text
        assert caught.value.detail


def test_of_several_the_last_to_expire_counts(machine: Machine) -> None:
    machine.put(profile_of(changed(serial="a", ends=int(NOW) - 1)), "a.mobileconfig")
    machine.put(profile_of(changed(serial="b", ends=int(NOW) + 9)), "b.mobileconfig")
    machine.put(profile_of(changed(serial="c", ends=int(NOW) + 5)), "c.mobileconfig")
    machine.put(b"damaged", "d.mobileconfig")
    machine.put(profile_of(changed(serial="e", ends=int(NOW) + 99)), ".e.mobileconfig")
    machine.put(profile_of(changed(serial="f", ends=int(NOW) + 99)), "f.txt")
    assert machine.store().check(NOW).serial == "b"


def test_of_several_problems_the_nearest_to_a_valid_license_is_told(machine: Machine) -> None:
    machine.put(b"damaged", "a.mobileconfig")
    machine.put(profile_of(changed(ends=int(NOW))), "b.mobileconfig")
    machine.put(profile_of(key=STRANGER), "c.mobileconfig")
    assert problem_of(machine.store()) is LicenseProblem.EXPIRED


def test_what_macos_keeps_counts_as_installed(machine: Machine) -> None:
    machine.managed.write_bytes(profile_of())
    store = machine.store()
    assert store.check(NOW) == USUAL
    assert store.remove() == []


def test_a_profile_that_others_may_write_is_not_trusted(machine: Machine) -> None:
    machine.put(profile_of()).chmod(0o666)
    assert problem_of(machine.store()) is LicenseProblem.DAMAGED


def test_a_key_that_others_may_write_vouches_for_nothing(machine: Machine) -> None:
    machine.put(profile_of())
    (machine.issuers / "fleet.pem").chmod(0o666)
    store = machine.store()
    assert problem_of(store) is LicenseProblem.UNKNOWN_ISSUER
    assert "chmod" in str(store.problems()[0])


def test_a_broken_key_beside_the_right_one_does_no_harm(machine: Machine) -> None:
    machine.put(profile_of())
    (machine.issuers / "broken.pem").write_text("broken")
    store = machine.store()
    assert store.check(NOW) == USUAL
    assert "broken.pem" in str(store.problems()[0])


def goes_past_the_end(machine: Machine, look: Callable[[float], object]) -> None:
    """The clock of a machine that runs on to the license's end."""
    for clock in (NOW, float(USUAL.ends)):
        look(clock)
        machine.running += 2 * (USUAL.ends - NOW)
    look(float(USUAL.ends))


def test_a_clock_set_back_does_not_revive_it(machine: Machine) -> None:
    machine.put(profile_of())
    store = machine.store()
    machine.running += SETTLING
    goes_past_the_end(machine, store._latest.seen)
    assert problem_of(store, USUAL.ends) is LicenseProblem.EXPIRED
    assert problem_of(store, NOW) is LicenseProblem.CLOCK_SET_BACK


def test_nor_does_it_after_a_restart(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.put(profile_of())
    store = machine.store()
    machine.running += SETTLING

    def look(clock: float) -> None:
        monkeypatch.setattr(time, "time", lambda: clock)
        with suppress(LicenseError):
            asyncio.run(store.admit())

    goes_past_the_end(machine, look)
    monkeypatch.setattr(time, "time", lambda: NOW)
    with pytest.raises(LicenseError, match="set back"):
        asyncio.run(machine.store().admit())


def keeps(machine: Machine, clock: float) -> bool:
    moment = datetime.fromtimestamp(clock, UTC).isoformat()
    return machine.state.exists() and machine.state.read_text() == moment


async def test_nor_does_it_if_nobody_has_connected_since_it_expired(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [NOW]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    monkeypatch.setattr("sra.remote.license.store.LOOK_AT_CLOCK", 0.001)
    machine.put(profile_of())
    store = machine.store()
    store.start()
    await asyncio.sleep(0.01)
    for clock[0] in (NOW, float(USUAL.ends)):
        machine.running += USUAL.ends - NOW
        await asyncio.to_thread(wait_until, partial(keeps, machine, clock[0]), "the time in the file", 10)
    clock[0] = NOW
    with pytest.raises(LicenseError, match="set back"):
        await store.admit()
    with pytest.raises(LicenseError, match="set back"):
        await machine.store().admit()


def test_a_clock_that_is_ten_years_ahead_for_a_minute_locks_nobody_out_afterwards(machine: Machine) -> None:
    machine.put(profile_of())
    LatestTime(machine.state).accept(NOW)
    store = machine.store()
    assert store.check(NOW) == USUAL
    for _ in range(60):
        machine.running += 1
        assert problem_of(store, NOW + 3650 * DAY) is LicenseProblem.EXPIRED
    assert store.check(NOW + 60) == USUAL
    store._latest.keep()
    assert machine.store().check(NOW + 60) == USUAL


def test_a_clock_that_was_ahead_for_years_is_accepted_without_a_restart(machine: Machine) -> None:
    machine.put(profile_of())
    LatestTime(machine.state).accept(NOW + 3650 * DAY)
    store = machine.store()
    assert problem_of(store) is LicenseProblem.CLOCK_SET_BACK
    LatestTime(machine.state).accept(NOW)  # what “sra license clock --accept” does, in a process of its own
    assert store.check(NOW) == USUAL
    store._latest.keep()
    assert machine.store().check(NOW) == USUAL


def test_the_file_is_deleted_and_that_counts_without_a_restart(machine: Machine) -> None:
    machine.put(profile_of())
    LatestTime(machine.state).accept(NOW + 3650 * DAY)
    store = machine.store()
    assert problem_of(store) is LicenseProblem.CLOCK_SET_BACK
    machine.state.unlink()
    assert store.check(NOW) == USUAL


async def test_a_watch_of_the_clock_that_ends_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise OSError("out of threads")

    store = machine.store()
    monkeypatch.setattr(store, "_remember", broken)
    store.start()
    await asyncio.to_thread(wait_until, lambda: bool(caplog.records), "a line in the log", 10)
    assert "goes unnoticed until the next connection: out of threads" in caplog.text


def test_a_state_that_cant_be_written_takes_nothing_from_a_license_that_holds(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine.put(profile_of())
    machine.state.parent.write_text("not a folder")
    monkeypatch.setattr(time, "time", lambda: NOW)
    asyncio.run(machine.store().admit())
    assert "goes unnoticed" in caplog.text


def test_what_can_t_be_looked_at_refuses(machine: Machine) -> None:
    machine.profiles.rmdir()
    machine.profiles.write_text("not a folder")
    with pytest.raises(LicenseError, match="damaged"):
        asyncio.run(machine.store().admit())


def test_a_change_of_the_files_is_seen_at_once(machine: Machine) -> None:
    store = machine.store()
    for data, outcome in (
        (profile_of(), None),
        (profile_of(key=STRANGER), LicenseProblem.UNKNOWN_ISSUER),
        (profile_of(), None),
        (profile_of()[:-30], LicenseProblem.DAMAGED),
    ):
        path = machine.put(data)
        if outcome is None:
            assert store.check(NOW) == USUAL
        else:
            assert problem_of(store) is outcome
    path.unlink()
    assert problem_of(store) is LicenseProblem.NONE


def test_a_new_issuer_is_seen_at_once(machine: Machine) -> None:
    machine.put(profile_of(key=STRANGER))
    store = machine.store()
    assert problem_of(store) is LicenseProblem.UNKNOWN_ISSUER
    machine.trust(STRANGER, "other.pem")
    assert store.check(NOW) == USUAL


def settle(machine: Machine) -> None:
    """Let the files be as old as they would be."""
    for path in (*machine.profiles.iterdir(), *machine.issuers.iterdir()):
        os.utime(path)
    time.sleep(0.15)


def test_a_connection_costs_no_signature(machine: Machine) -> None:
    machine.put(profile_of())
    settle(machine)
    store = machine.store()
    store.check(NOW)
    before = store.installed()
    store.check(NOW)
    assert store.installed() is before


def test_what_is_installed_is_found_by_the_next_process(machine: Machine) -> None:
    (machine.issuers / "fleet.pem").unlink()
    store = machine.store()
    with pytest.raises(LicenseError, match="signed by no issuer"):
        store.judge(profile_of(), None, NOW)
    assert store.judge(profile_of(), ISSUER.public_key(), NOW) == USUAL
    path = store.install(profile_of(), ISSUER.public_key())
    assert path == machine.profiles / INSTALLED_NAME
    assert store.check(NOW) == machine.store().check(NOW) == USUAL


def test_the_service_can_read_it_whatever_the_umask_of_root_is(tmp_path: Path) -> None:
    places = LicensePlaces(tmp_path / "etc/sra/profiles", tmp_path / "etc/sra/trust/license.d")
    before = os.umask(0o077)
    try:
        LicenseStore(places, LatestTime(tmp_path / "latest"), HOST).install(profile_of(), ISSUER.public_key())
    finally:
        os.umask(before)
    for path in (tmp_path / "etc").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def test_one_that_would_not_hold_or_is_none_is_not_judged_good(machine: Machine) -> None:
    store = machine.store()
    for data in (profile_of(changed(ends=int(NOW))), profile_of(changed(hosts=("other",)))):
        with pytest.raises(LicenseError):
            store.judge(data, None, NOW)
    with pytest.raises(ProfileError, match="no license"):
        store.judge(
            profile_of().replace(b"<string>com.secureremoteaccess.license</string>", b"<string>x</string>"), None, NOW
        )


EXPIRED = profile_of(changed(ends=int(NOW)))
OF_ANOTHER_HOST = profile_of(changed(hosts=("other",)))
LONGER = changed(ends=USUAL.ends + 1)


@pytest.mark.parametrize("wrong", [EXPIRED, OF_ANOTHER_HOST, forged(), profile_of(key=STRANGER)])
def test_of_several_in_one_profile_one_has_to_hold_to_be_installed_as_afterwards(
    machine: Machine, wrong: bytes
) -> None:
    for profiles in ([wrong, profile_of()], [profile_of(), wrong], [wrong, profile_of(), profile_of(LONGER), wrong]):
        data = profile_of_several(*profiles)
        store = machine.store()
        judged = store.judge(data, None, NOW)
        store.install(data, None)
        assert judged == store.check(NOW) == (LONGER if len(profiles) == 4 else USUAL)


def test_if_none_of_several_holds_both_say_the_same(machine: Machine) -> None:
    for profiles in ([EXPIRED, OF_ANOTHER_HOST], [OF_ANOTHER_HOST, EXPIRED]):
        data = profile_of_several(*profiles)
        store = machine.store()
        with pytest.raises(LicenseError) as judged:
            store.judge(data, None, NOW)
        store.install(data, None)
        assert judged.value.problem is problem_of(store)


def test_removing_takes_every_license_and_leaves_other_profiles(machine: Machine) -> None:
    other = profile_of().replace(b"<string>com.secureremoteaccess.license</string>", b"<string>x</string>")
    kept = machine.put(other, "other.mobileconfig")
    gone = {machine.put(profile_of(), "a.mobileconfig"), machine.put(b"damaged", "b.mobileconfig")}
    store = machine.store()
    assert set(store.remove()) == gone
    assert [path.exists() for path in (*gone, kept)] == [False, False, True]
    assert problem_of(store) is LicenseProblem.NONE
    assert store.remove() == []


def test_an_error_that_is_raised_again_and_again_does_not_grow(machine: Machine) -> None:
    machine.put(b"damaged")
    settle(machine)
    store = machine.store()
    depths = []
    for _ in range(3):
        with pytest.raises(LicenseError) as caught:
            store.check(NOW)
        depths.append(len(caught.traceback))
    assert len(set(depths)) == 1
