import asyncio

import pytest

from sra.remote.accounts.directory import MAX_ANSWERS, Accounts, AnswerCache, DirectoryError

ALICE: Accounts = frozenset({"alice"})
NOBODY: Accounts = frozenset()


class Directory:
    """A clock, and what is asked at which time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.answer: Accounts | DirectoryError = ALICE
        self.cache = AnswerCache(60, 5, lambda: self.now)

    def ask(self, question: object = "q") -> Accounts:
        return asyncio.run(self.cache.answer(question, self._answer))

    async def _answer(self) -> Accounts:
        self.asked += 1
        if isinstance(self.answer, DirectoryError):
            raise self.answer
        return self.answer


def test_an_answer_is_good_for_its_time_and_no_longer() -> None:
    directory = Directory()
    assert [directory.ask(), directory.ask()] == [ALICE, ALICE]
    directory.now = 59.9
    directory.answer = NOBODY
    assert directory.ask() == ALICE
    assert directory.asked == 1
    directory.now = 60
    assert directory.ask() == NOBODY
    assert directory.asked == 2


def test_nobody_is_remembered_for_a_shorter_time() -> None:
    directory = Directory()
    directory.answer = NOBODY
    assert directory.ask() == NOBODY
    directory.answer = ALICE
    directory.now = 4.9
    assert directory.ask() == NOBODY
    directory.now = 5
    assert directory.ask() == ALICE


def test_an_error_is_not_remembered_and_does_not_bring_an_old_answer_back() -> None:
    directory = Directory()
    directory.ask()
    directory.now = 61
    directory.answer = DirectoryError("down")
    for _ in range(2):
        with pytest.raises(DirectoryError):
            directory.ask()
    assert directory.asked == 3
    directory.answer = NOBODY
    assert directory.ask() == NOBODY


def test_the_oldest_answers_make_room() -> None:
    directory = Directory()
    for number in range(MAX_ANSWERS + 1):
        directory.ask(number)
    assert directory.asked == MAX_ANSWERS + 1
    directory.ask(1)
    assert directory.asked == MAX_ANSWERS + 1
    directory.ask(0)
    assert directory.asked == MAX_ANSWERS + 2
