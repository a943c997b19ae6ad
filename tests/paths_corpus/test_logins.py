"""The corpus at the login: what srad refuses, neither pam_pkcs11 nor SSSD lets in, by the map and the files of ``sra``.

What they refuse beyond is in ``differences``, and ``sra doctor`` names it (test_login_differences).
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.paths_corpus import constraints, indirect_lists, paths, revocations
from tests.paths_corpus.building import CASES, Case
from tests.paths_corpus.differences import PAM_PKCS11, SSSD
from tests.paths_corpus.logins import Login, make_empty_card

SECTIONS = (constraints, indirect_lists, paths, revocations)
ASKED = [each for each in CASES if not each.answers]
"""The login asks no responder."""


@pytest.fixture(scope="module")
def admitted(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Case, bool, bool]]:
    """Each case, and whether SSSD and pam_pkcs11 let its card in."""
    folder = tmp_path_factory.mktemp("logins")
    empty_card = make_empty_card(folder)

    def judged(number: int) -> tuple[Case, bool, bool]:
        login = Login(ASKED[number], folder / str(number), empty_card)
        is_mapped = login.is_mapped
        return ASKED[number], is_mapped and login.sssd(), is_mapped and login.pam_pkcs11()

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(judged, range(len(ASKED))))


def test_the_login_lets_nobody_in_whom_srad_refuses(admitted: list[tuple[Case, bool, bool]]) -> None:
    assert [case.name for case, sssd, pam in admitted if (sssd or pam) and not case.is_good] == []


def test_what_the_login_refuses_beyond_srad_is_known(admitted: list[tuple[Case, bool, bool]]) -> None:
    assert {case.name for case, sssd, _ in admitted if case.is_good and not sssd} == set(SSSD)
    assert {case.name for case, _, pam in admitted if case.is_good and not pam} == set(PAM_PKCS11)
