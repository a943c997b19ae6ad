"""The session code: its tries, and a new one when it is opened again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sra.admin.guard.session_code import DIGITS, TRIES, SessionCode


def typed(code: SessionCode) -> bytes:
    return code.shown.replace(" ", "").encode()


def test_it_is_eight_digits_in_two_groups() -> None:
    for _ in range(50):
        first, second = SessionCode().shown.split(" ")
        assert len(first) == len(second) == DIGITS // 2
        assert (first + second).isdecimal()


def test_two_are_not_the_same() -> None:
    assert len({SessionCode().shown for _ in range(20)}) > 15


def test_it_matches_itself_and_nothing_else() -> None:
    code = SessionCode()
    assert code.matches(typed(code))
    for other in (b"", typed(code)[:-1], typed(code) + b"0", code.shown.encode(), typed(code).ljust(9, b"\xff")):
        assert not code.matches(other)


@given(st.binary(max_size=9))
def test_guesses_are_wrong(guess: bytes) -> None:
    code = SessionCode()
    assert code.matches(guess) == (guess == typed(code))


def test_wrong_entries_close_it_for_good() -> None:
    code = SessionCode()
    for left in range(TRIES - 1, -1, -1):
        assert code.is_open
        code.count(right=False)
        assert code.tries == left
    assert not code.is_open
    code.count(right=False)
    assert code.tries == 0


def test_a_right_one_gives_the_tries_back() -> None:
    code = SessionCode()
    code.count(right=False)
    code.count(right=True)
    assert code.tries == TRIES


def test_a_renewed_one_gives_no_tries_back() -> None:
    code = SessionCode()
    old = typed(code)
    code.count(right=False)
    code.renew()
    assert code.tries == TRIES - 1
    assert not code.matches(old)


def test_opened_again_it_is_another_one_with_all_tries() -> None:
    code = SessionCode()
    old = typed(code)
    for _ in range(TRIES):
        code.count(right=False)
    code.reopen()
    assert code.is_open
    assert code.tries == TRIES
    assert typed(code) != old
    assert not code.matches(old)


def test_it_is_not_in_its_description() -> None:
    code = SessionCode()
    assert typed(code).decode() not in repr(code)
    assert code.shown not in repr(code)
