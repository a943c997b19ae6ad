"""Paths built section by section of RFC 5280, each with its verdict by hand: srad's, OpenSSL's and the path library's.

Where one of the others differs, ``differences`` says why, and this fails when it no longer does.
"""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.paths_corpus import answers, constraints, indirect_lists, paths, revocations
from tests.paths_corpus.building import CASES, Case
from tests.paths_corpus.differences import LIBRARY, OPENSSL
from tests.paths_corpus.judges import library, openssl, ours

SECTIONS = (answers, constraints, indirect_lists, paths, revocations)


def differing(cases: Iterable[tuple[Case, bool | None]]) -> set[str]:
    return {case.name for case, verdict in cases if verdict is not None and verdict is not case.is_good}


def test_there_are_enough_cases_and_both_verdicts_are_among_them() -> None:
    verdicts = Counter(case.is_good for case in CASES)
    assert verdicts[True] + verdicts[False] >= 170
    assert min(verdicts.values()) >= 85


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_srad_says_what_the_standard_does(case: Case, tmp_path: Path) -> None:
    why_not = ours(case, tmp_path)
    assert (why_not == "") is case.is_good, why_not


def test_openssl_says_the_same_but_for_what_is_known(tmp_path: Path) -> None:
    def judged(number: int) -> tuple[Case, bool | None]:
        return CASES[number], openssl(CASES[number], tmp_path / str(number))

    with ThreadPoolExecutor(2) as threads:
        assert differing(threads.map(judged, range(len(CASES)))) == set(OPENSSL)


def test_the_library_says_the_same_but_for_what_is_known() -> None:
    assert differing((case, library(case)) for case in CASES) == set(LIBRARY)
