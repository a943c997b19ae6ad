"""A short soak: one fault of each kind and what people do, without a violation; and a soak notices what it should."""

from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from lab.hosts import two_hosts
from soak.actions import Action, Done
from soak.faults import FAULTS, Effect
from soak.place import PIN, Person, Place
from soak.run import Soak, Step, plan

SEED = 32
"""Its first faults are short ones."""
KINDS = {fault.kind for fault in FAULTS}


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    with two_hosts() as (admin, remote):
        soak = Soak(Place(admin, remote, tmp_path_factory.mktemp("soak")))
        soak.open()
        yield soak


@pytest.mark.timeout(300)
def test_faults_of_each_kind_break_no_rule(soak: Soak) -> None:
    for step in islice(plan(SEED), 2 * len(KINDS)):
        assert soak.do(step), soak.violations
    assert soak.violations == []
    assert soak.verify_by_command() == []


def violations_of(soak: Soak, do: Callable[[Place, Person], Done]) -> str:
    soak.violations.clear()
    soak.do(Step(0, "ann", Action("sabotage", do)))
    return "\n".join(soak.violations)


def test_a_process_and_a_file_that_stay_are_noticed(soak: Soak) -> None:
    def sabotage(place: Place, _: Person) -> None:
        place.remote.run(["sh", "-c", "sleep 987 >/dev/null 2>&1 & touch /run/sra/forgotten"])

    found = violations_of(soak, sabotage)
    assert "left over: remote: process sleep 987" in found
    assert "left over: remote: file /run/sra/forgotten" in found


def test_a_password_that_is_not_locked_again_is_noticed(soak: Soak) -> None:
    def sabotage(place: Place, _: Person) -> None:
        place.remote.run(["chpasswd"], input="_srascreen:open\n")

    assert "left over: remote: the password of _srascreen is open" in violations_of(soak, sabotage)


def test_a_card_that_does_not_go_is_noticed(soak: Soak) -> None:
    def sabotage(place: Place, person: Person) -> Effect:
        return Effect(place.readers.events[-1].time + 0.001, [person])

    assert "ann's card was gone from reader" in violations_of(soak, sabotage)


def test_a_pin_in_a_log_and_a_record_that_was_removed_are_noticed(soak: Soak) -> None:
    def sabotage(place: Place, _: Person) -> None:
        place.log("a program").write_text(f"{PIN}\n")
        place.remote.run(["sed", "-i", "3d", "/var/log/sra/audit.jsonl"])

    found = violations_of(soak, sabotage)
    assert "in a log: (the PIN)" in found
    assert "the audit's chain is broken in line 3" in found
