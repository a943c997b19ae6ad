from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from sra.errors import RefusalCode, RefusedError
from sra.identity import crl
from sra.identity.authorities import Issued
from sra.identity.crl import RevocationList
from sra.identity.revocation import CLOCK_TOLERANCE, Places, decide, places, unknown
from tests.chains import DAY, NOW, Entry, points, responder, root

ROOT = root()
SUB = ROOT.authority("Sub")
ALICE = Issued(SUB.issue("Alice"), SUB.certificate)
SUB_ITSELF = Issued(SUB.certificate, ROOT.certificate)
HOLD = x509.ReasonFlags.certificate_hold


def listing(*entries: Entry, start: timedelta = -DAY, end: timedelta = DAY) -> RevocationList:
    return crl.verify(SUB.revocation_list(entries, dates=(NOW + start, NOW + end)), SUB.certificate)


def on(reason: x509.ReasonFlags | None = None) -> Entry:
    return Entry(ALICE.certificate.serial_number, reason)


def test_the_freshest_evidence_decides_that_it_is_not_revoked() -> None:
    shorter, longer = listing(), listing(end=2 * DAY)
    assert decide(ALICE, [shorter, longer], NOW) is longer
    assert decide(ALICE, [], NOW) is None


def test_one_revocation_is_enough_whatever_the_rest_says() -> None:
    for reason, words in (
        (None, "was revoked on 2030-01-10."),
        (x509.ReasonFlags.key_compromise, "was revoked on 2030-01-10 (its key may be known to others)."),
        (HOLD, "was revoked on 2030-01-10 (it is on hold)."),
    ):
        with pytest.raises(RefusedError) as caught:
            decide(ALICE, [listing(end=9 * DAY), listing(on(reason))], NOW)
        assert caught.value.code is RefusalCode.REVOKED
        assert words in caught.value.text


def test_every_reason_of_the_standard_has_its_words() -> None:
    for reason in set(x509.ReasonFlags) - {x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl}:
        with pytest.raises(RefusedError, match=r"\("):
            decide(ALICE, [listing(on(reason))], NOW)


def test_stale_evidence_never_says_that_it_is_not_revoked() -> None:
    stale = listing(start=-2 * DAY, end=-DAY)
    assert decide(ALICE, [stale], NOW) is None
    assert decide(ALICE, [stale], NOW - DAY) is stale
    assert decide(ALICE, [stale], NOW - DAY + timedelta(seconds=1)) is None


def test_a_revocation_outlives_its_list_but_a_hold_does_not() -> None:
    with pytest.raises(RefusedError):
        decide(ALICE, [listing(on(), start=-2 * DAY, end=-DAY)], NOW)
    assert decide(ALICE, [listing(on(HOLD), start=-2 * DAY, end=-DAY)], NOW) is None


def test_evidence_from_the_future_counts_within_the_clocks_tolerance() -> None:
    assert decide(ALICE, [listing(start=CLOCK_TOLERANCE)], NOW)
    assert decide(ALICE, [listing(start=CLOCK_TOLERANCE + timedelta(seconds=1))], NOW) is None


def test_evidence_about_others_does_not_count() -> None:
    other = crl.verify(ROOT.revocation_list(), ROOT.certificate)
    assert decide(ALICE, [other], NOW) is None


def test_what_can_not_be_known_is_told_with_every_reason_once() -> None:
    stale = listing(start=-2 * DAY, end=-DAY)
    problem = "lists.example can't be asked: no answer in time"
    refused = unknown(ALICE, [stale, stale], [problem, problem], NOW)
    assert refused.code is RefusalCode.REVOCATION_UNKNOWN
    assert refused.text.count("the revocation list of “Sub” is stale since 2030-01-14") == 1
    assert refused.text.count(problem) == 1
    assert "the card's certificate" in refused.text


def test_where_there_is_no_place_to_ask_that_is_said() -> None:
    assert "names no place to ask" in unknown(ALICE, [], [], NOW).text


def test_a_refusal_fits_into_a_message_whatever_the_servers_said() -> None:
    assert len(unknown(ALICE, [], ["x" * 5000], NOW).text) < 1000


def test_an_authority_is_called_by_its_name() -> None:
    assert "the authority “Sub” is revoked" in unknown(SUB_ITSELF, [], [], NOW).text
    lists = crl.verify(ROOT.revocation_list([Entry(SUB.certificate.serial_number)]), ROOT.certificate)
    with pytest.raises(RefusedError, match="The authority “Sub” was revoked"):
        decide(SUB_ITSELF, [lists], NOW)


def test_the_places_are_those_in_the_certificate() -> None:
    one, two, three = "http://a.example/1.crl", "ldap://b.example/cn=x", "http://ocsp.example"
    leaf = SUB.issue("Alice", [points(one, two, one), responder(three)])
    assert places(leaf) == Places((one, two), (three,))
    assert places(ALICE.certificate) == Places((), ())


def test_points_of_other_issuers_or_for_some_reasons_and_other_access_are_left_out() -> None:
    name = [x509.UniformResourceIdentifier("http://a.example")]
    found = [
        x509.DistributionPoint(name, None, None, [x509.DirectoryName(ROOT.certificate.subject)]),
        x509.DistributionPoint(name, None, frozenset({x509.ReasonFlags.key_compromise}), None),
        x509.DistributionPoint([x509.DirectoryName(ROOT.certificate.subject)], None, None, None),
    ]
    issuers = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, name[0])
    extensions = [
        (x509.CRLDistributionPoints(found), False),
        (x509.AuthorityInformationAccess([issuers]), False),
    ]
    assert places(SUB.issue("Alice", extensions)) == Places((), ())
