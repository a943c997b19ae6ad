"""Every input of the corpus, and every one that once was a finding, through its parser: without a fuzzer."""

import logging

import pytest

from fuzz import rooms
from fuzz.runs import CORPUS, REGRESSIONS
from fuzz.target import TARGETS, BrokenPromiseError, Target
from tests.fuzz import planted

MAX_CORPUS = 300 * 1024
OURS = [each for each in TARGETS.values() if each.module.startswith("fuzz.")]
OF_THE_DRIVER = {"c_frame", "c_driver", "c_announce"}


@pytest.mark.parametrize("target", OURS, ids=lambda target: target.name)
def test_no_known_input_is_a_finding(target: Target) -> None:
    logging.disable(logging.WARNING)
    try:
        inputs = [path for folder in (CORPUS, REGRESSIONS) for path in sorted((folder / target.name).glob("*"))]
        assert inputs
        for path in (*inputs,):
            target.run(path.read_bytes())
        for tiny in (b"", b"\x00", b"\xff" * 7):
            target.run(tiny)
    finally:
        logging.disable(logging.NOTSET)


def test_every_room_is_registered() -> None:
    assert {each.module for each in OURS} == {room.__name__ for room in rooms.ROOMS}


def test_every_input_is_of_a_target() -> None:
    known = {each.name for each in OURS} | OF_THE_DRIVER
    assert {folder.name for parent in (CORPUS, REGRESSIONS) for folder in parent.iterdir()} <= known


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.parent.rglob("*") if path.is_file()) < MAX_CORPUS


def test_no_seed_is_longer_than_its_target_takes() -> None:
    for each in OURS:
        assert all(path.stat().st_size <= each.max_len for path in (CORPUS / each.name).iterdir())


def test_an_error_that_is_not_documented_is_a_finding() -> None:
    with pytest.raises(KeyError):
        TARGETS["planted_error"].check(planted.MAGIC)


def test_an_input_that_takes_too_long_is_a_finding() -> None:
    with pytest.raises(BrokenPromiseError, match="processor time"):
        TARGETS["planted_delay"].check(b"\x53")
    TARGETS["planted_delay"].check(b"\x54")
