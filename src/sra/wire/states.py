"""The protocol is this table: who may say what, when, and what comes after.

The same table serves port 4117: there srad speaks with the admin's voice and the virtual card is the remote's end,
which starts in ``DETACHED`` instead of ``OPENED``. The diagram in docs/wire-protocol.md is printed from the table
(``python -m sra.wire.states``), and a test compares them.
"""

from __future__ import annotations

from enum import StrEnum

from sra.errors import ProtocolError
from sra.piv.keys import KeyReply, KeyRequest, PinReply, PinRequest
from sra.wire.messages import (
    Attach,
    Attached,
    Cancel,
    CardInserted,
    Challenge,
    EjectCard,
    Goodbye,
    Hello,
    InsertCard,
    Message,
    NoScreen,
    Ping,
    Pong,
    Proof,
    Refusal,
    Remark,
    ScreenGrant,
    ScreenRequest,
    Welcome,
)


class Role(StrEnum):
    """The two ends of a connection."""

    ADMIN = "admin"
    REMOTE = "remote"

    @property
    def peer(self) -> Role:
        """The other end."""
        return Role.REMOTE if self is Role.ADMIN else Role.ADMIN


class State(StrEnum):
    """How far the two ends are with each other."""

    OPENED = "opened"
    GREETED = "greeted"
    CHALLENGED = "challenged"
    PROVEN = "proven"
    DETACHED = "detached"
    ATTACHING = "attaching"
    AUTHENTICATED = "authenticated"
    INSERTING = "inserting"
    INSERTED = "inserted"
    EJECTED_BY_ADMIN = "ejected-by-admin"
    EJECTED_BY_REMOTE = "ejected-by-remote"
    CLOSED = "closed"


Transitions = dict[tuple[Role, type[Message]], State]


def _stay(state: State, *moves: tuple[Role, type[Message]]) -> Transitions:
    return dict.fromkeys(moves, state)


def _always(state: State) -> Transitions:
    """What both may say at any time once the handshake has gone as far as the challenge."""
    both = (Role.ADMIN, Role.REMOTE)
    return (
        _stay(state, *((role, kind) for role in both for kind in (Ping, Pong)))
        | {(role, Goodbye): State.CLOSED for role in both}
    )  # fmt: skip


def _late(state: State) -> Transitions:
    """Answers to what was asked before the card went, and the notice that nothing waits for them."""
    return _stay(
        state,
        (Role.ADMIN, KeyReply),
        (Role.ADMIN, PinReply),
        (Role.ADMIN, Refusal),
        (Role.REMOTE, Cancel),
        (Role.REMOTE, Remark),
    )


def _screen(state: State) -> Transitions:
    """The screen, which has nothing to do with where the card is."""
    return _stay(state, (Role.ADMIN, ScreenRequest), (Role.REMOTE, ScreenGrant), (Role.REMOTE, NoScreen))


TABLE: dict[State, Transitions] = {
    State.OPENED: {
        (Role.ADMIN, Hello): State.GREETED,
        (Role.REMOTE, Goodbye): State.CLOSED,
    },
    State.GREETED: {
        (Role.REMOTE, Challenge): State.CHALLENGED,
        (Role.REMOTE, Refusal): State.CLOSED,
        (Role.ADMIN, Goodbye): State.CLOSED,
        (Role.REMOTE, Goodbye): State.CLOSED,
    },
    State.CHALLENGED: _always(State.CHALLENGED)
    | {
        (Role.ADMIN, Proof): State.PROVEN,
    },
    State.PROVEN: _always(State.PROVEN)
    | {
        (Role.REMOTE, Welcome): State.AUTHENTICATED,
        (Role.REMOTE, Refusal): State.CLOSED,
    },
    State.DETACHED: {
        (Role.REMOTE, Attach): State.ATTACHING,
    },
    State.ATTACHING: {
        (Role.ADMIN, Attached): State.AUTHENTICATED,
    },
    State.AUTHENTICATED: _always(State.AUTHENTICATED)
    | _late(State.AUTHENTICATED)
    | _screen(State.AUTHENTICATED)
    | {
        (Role.ADMIN, InsertCard): State.INSERTING,
    },
    State.INSERTING: _always(State.INSERTING)
    | _late(State.INSERTING)
    | _screen(State.INSERTING)
    | {
        (Role.REMOTE, CardInserted): State.INSERTED,
        (Role.REMOTE, Refusal): State.AUTHENTICATED,
    },
    State.INSERTED: _always(State.INSERTED)
    | _late(State.INSERTED)
    | _screen(State.INSERTED)
    | _stay(State.INSERTED, (Role.REMOTE, KeyRequest), (Role.REMOTE, PinRequest))
    | {
        (Role.ADMIN, EjectCard): State.EJECTED_BY_ADMIN,
        (Role.REMOTE, EjectCard): State.EJECTED_BY_REMOTE,
    },
    State.EJECTED_BY_ADMIN: _always(State.EJECTED_BY_ADMIN)
    | _late(State.EJECTED_BY_ADMIN)
    | _screen(State.EJECTED_BY_ADMIN)
    | _stay(State.EJECTED_BY_ADMIN, (Role.REMOTE, KeyRequest), (Role.REMOTE, PinRequest))
    | {
        (Role.REMOTE, EjectCard): State.AUTHENTICATED,
    },
    State.EJECTED_BY_REMOTE: _always(State.EJECTED_BY_REMOTE)
    | _late(State.EJECTED_BY_REMOTE)
    | _screen(State.EJECTED_BY_REMOTE)
    | {
        (Role.ADMIN, EjectCard): State.AUTHENTICATED,
    },
    State.CLOSED: {},
}


def after(state: State, sender: Role, message: Message) -> State:
    """The state after ``sender`` said ``message``; ``ProtocolError`` where the table has no such move."""
    try:
        return TABLE[state][sender, type(message)]
    except KeyError:
        raise ProtocolError(f"{type(message).__name__} from the {sender} while {state}") from None


def diagram() -> str:
    """The table as a Mermaid state diagram; moves that stay in a state are left out of it."""
    lines = ["stateDiagram-v2", "    [*] --> opened: port 4116", "    [*] --> detached: port 4117"]
    for state, moves in TABLE.items():
        for (sender, kind), following in moves.items():
            if following is not state and kind is not Goodbye:
                before, behind = (each.replace("-", "_") for each in (state, following))
                lines.append(f"    {before} --> {behind}: {sender}: {kind.__name__}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(diagram())
