"""The steps of a soak: from the seed alone, and of every kind soon."""

from itertools import islice

from soak.actions import ACTIONS, Action
from soak.faults import FAULTS, Fault
from soak.run import DURING, in_quiet_half, plan


def test_a_seed_gives_the_same_steps_again_and_another_seed_others() -> None:
    first, again, other = (list(islice(plan(seed), 200)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_every_kind_of_fault_comes_in_the_first_steps() -> None:
    kinds = list(dict.fromkeys(fault.kind for fault in FAULTS))
    first = [step.work.kind for step in islice(plan(7), 2 * len(kinds)) if isinstance(step.work, Fault)]
    assert first == kinds


def test_every_action_and_every_fault_comes_in_every_moment_in_time() -> None:
    steps = list(islice(plan(3), 4000))
    assert {step.work.name for step in steps} == {a.name for a in ACTIONS} | {f.name for f in FAULTS}
    assert {step.during for step in steps if isinstance(step.work, Fault)} == set(DURING)


def test_in_the_quiet_half_nothing_is_killed_and_only_bobs_connection_is_touched() -> None:
    quiet = [done for step in islice(plan(3), 400) if (done := in_quiet_half(step)) is not None]
    assert not [step for step in quiet if isinstance(step.work, Fault) and step.work.kills]
    assert {step.person for step in quiet} == {"bob"}
    assert any(isinstance(step.work, Action) for step in quiet)
