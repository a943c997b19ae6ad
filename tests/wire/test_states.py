"""The protocol's table: what is in it is allowed, and everything else raises."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from sra.errors import ProtocolError
from sra.piv.keys import KeyRequest, PinRequest
from sra.wire import states
from sra.wire.messages import Cancel, Goodbye, Message, Proof, Welcome
from sra.wire.states import TABLE, Role, State
from tests.wire.samples import KINDS, sample

PAGE = Path(__file__).resolve().parents[2] / "docs" / "wire-protocol.md"
EVERYTHING = list(product(State, Role, KINDS))
OUTSIDE = [(state, sender, kind) for state, sender, kind in EVERYTHING if (sender, kind) not in TABLE[state]]


def name(part: object) -> str:
    return part.__name__ if isinstance(part, type) else str(part)


def test_every_state_is_in_the_table() -> None:
    assert set(TABLE) == set(State)


@pytest.mark.parametrize(("state", "sender", "kind"), OUTSIDE, ids=name)
def test_outside_the_table_everything_raises(state: State, sender: Role, kind: type[Message]) -> None:
    with pytest.raises(ProtocolError, match=kind.__name__):
        states.after(state, sender, sample(kind))


def test_inside_the_table_each_move_leads_where_it_says() -> None:
    for state, moves in TABLE.items():
        for (sender, kind), following in moves.items():
            assert states.after(state, sender, sample(kind)) is following


def test_every_message_can_be_said_by_somebody_at_some_time() -> None:
    assert {kind for moves in TABLE.values() for _, kind in moves} == set(KINDS)


def test_nothing_can_be_said_any_more_once_it_is_closed() -> None:
    assert TABLE[State.CLOSED] == {}


def test_every_state_is_reached_from_a_start() -> None:
    reached, new = set[State](), {State.OPENED, State.DETACHED}
    while new:
        reached |= new
        new = {following for state in new for following in TABLE[state].values()} - reached
    assert reached == set(State)


def test_there_is_no_way_round_the_proof() -> None:
    into = {
        (state, sender, kind)
        for state, moves in TABLE.items()
        for (sender, kind), following in moves.items()
        if following is State.AUTHENTICATED and state in {State.OPENED, State.GREETED, State.CHALLENGED, State.PROVEN}
    }
    assert into == {(State.PROVEN, Role.REMOTE, Welcome)}
    into_proven = {key for moves in TABLE.values() for key, following in moves.items() if following is State.PROVEN}
    assert (Role.ADMIN, Proof) in into_proven


def test_only_a_remote_uses_keys_and_only_while_a_card_is_or_was_just_in() -> None:
    for kind in (KeyRequest, PinRequest):
        said = {(state, sender) for state, moves in TABLE.items() for sender, asked in moves if asked is kind}
        assert said == {(State.INSERTED, Role.REMOTE), (State.EJECTED_BY_ADMIN, Role.REMOTE)}


def test_a_cancellation_can_cross_every_change_after_the_welcome() -> None:
    past = set(State) - {
        State.OPENED, State.GREETED, State.CHALLENGED, State.PROVEN, State.DETACHED, State.ATTACHING, State.CLOSED
    }  # fmt: skip
    assert {state for state, moves in TABLE.items() if (Role.REMOTE, Cancel) in moves} == past


def test_a_goodbye_always_closes() -> None:
    ends = {moves[key] for moves in TABLE.values() for key in moves if key[1] is Goodbye}
    assert ends == {State.CLOSED}


def test_the_two_ends_are_each_others_peers() -> None:
    assert {role.peer.peer for role in Role} == set(Role)
    assert all(role.peer is not role for role in Role)


def test_the_diagram_names_every_state() -> None:
    drawn = states.diagram()
    assert all(state.replace("-", "_") in drawn for state in State)


def test_the_diagram_in_the_documentation_is_the_tables() -> None:
    block = re.search(r"```mermaid\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    assert block[1] == states.diagram()
