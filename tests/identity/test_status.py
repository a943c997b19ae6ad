"""What lists say together, and what it takes to say no or yes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509

from sra.errors import RefusalCode
from sra.identity import crl, ocsp
from sra.identity.authorities import Issued
from sra.identity.crl import RevocationList
from sra.identity.ocsp import OcspAnswer
from sra.identity.revocation import CLOCK_TOLERANCE, RevokedError
from sra.identity.status import ALL_REASONS, decide, list_evidence, listed_revocation, reasons, shortcomings, speaks_of
from tests.chains import DAY, NOW, Entry, Extensions, Responder, library_revoked, named, root, scope

ROOT = root()
SUB = ROOT.authority("Sub")
ALICE = Issued(SUB.issue("Alice"), SUB.certificate)
SUBS = (x509.CertificateIssuer([x509.DirectoryName(named("sub"))]), True)


def test_a_list_speaks_of_its_issuer_s_certificates() -> None:
    own, other = (crl.verify(each.revocation_list(), each.certificate) for each in (SUB, ROOT))
    assert (reasons(own, ALICE), speaks_of(own, ALICE)) == (ALL_REASONS, True)
    assert (reasons(other, ALICE), speaks_of(other, ALICE)) == (frozenset(), False)
    assert list_evidence(ALICE, [other, own], NOW) is not None
    assert list_evidence(ALICE, [other], NOW) is None


def test_an_entry_for_another_issuer_s_certificate_is_found_by_issuer_and_number() -> None:
    number = ALICE.certificate.serial_number
    indirect = scope(indirect_crl=True)
    for entries, is_revoked in (
        ([Entry(number)], False),
        ([Entry(number, extensions=[SUBS])], True),
        ([Entry(1, extensions=[SUBS]), Entry(number)], True),
        ([Entry(number), Entry(1, extensions=[SUBS])], False),
    ):
        found = crl.verify(ROOT.revocation_list(entries, [indirect]), ROOT.certificate)
        assert (listed_revocation(ALICE, [found], NOW) is not None) is is_revoked


def test_a_point_that_names_another_issuer_makes_that_one_s_indirect_list_count() -> None:
    name = [x509.UniformResourceIdentifier("http://lists.example/all")]
    point = x509.DistributionPoint(name, None, None, [x509.DirectoryName(named("ROOT"))])
    pointing = Issued(SUB.issue("Alice", [(x509.CRLDistributionPoints([point]), False)]), SUB.certificate)
    indirect = crl.verify(ROOT.revocation_list((), [scope(indirect_crl=True)]), ROOT.certificate)
    plain = crl.verify(ROOT.revocation_list(), ROOT.certificate)
    assert (reasons(indirect, pointing), reasons(plain, pointing)) == (ALL_REASONS, frozenset())


HOLD, REMOVED = x509.ReasonFlags.certificate_hold, x509.ReasonFlags.remove_from_crl
NUMBERED: Extensions = [(x509.CRLNumber(5), False)]
DELTA: Extensions = [(x509.CRLNumber(9), False), (x509.DeltaCRLIndicator(5), True)]


def listing(
    *entries: Entry, start: timedelta = -DAY, end: timedelta = DAY, extensions: Extensions = NUMBERED
) -> RevocationList:
    dates = (NOW + start, NOW + end)
    return crl.verify(SUB.revocation_list(entries, extensions, dates), SUB.certificate)


def delta(*entries: Entry, start: timedelta = -DAY / 2, end: timedelta = DAY) -> RevocationList:
    return listing(*entries, start=start, end=end, extensions=DELTA)


def on(reason: x509.ReasonFlags | None = None) -> Entry:
    return Entry(ALICE.certificate.serial_number, reason)


def answer(*, is_revoked: bool = False, reason: x509.ReasonFlags | None = None, end: timedelta = DAY) -> OcspAnswer:
    responder = Responder(SUB.certificate, SUB.key, this_update=NOW - 2 * DAY, next_update=NOW + end, reason=reason)
    data = (library_revoked(responder) if is_revoked else responder).answer(ALICE)
    return ocsp.verify(data, ALICE, NOW, None, needs_nonce=False)


def test_the_freshest_evidence_decides_that_it_is_not_revoked() -> None:
    found = decide(ALICE, [listing(), listing(end=2 * DAY)], NOW)
    assert found is not None
    assert (found.fresh_until, found.source) == (NOW + 2 * DAY, "the revocation list of “Sub”")
    assert decide(ALICE, [], NOW) is None


def test_one_revocation_is_enough_whatever_the_rest_says() -> None:
    for reason, words in (
        (None, "was revoked on 2030-01-10."),
        (x509.ReasonFlags.key_compromise, "was revoked on 2030-01-10 (its key may be known to others)."),
        (HOLD, "was revoked on 2030-01-10 (it is on hold)."),
    ):
        for said in (listing(on(reason)), answer(is_revoked=True, reason=reason)):
            with pytest.raises(RevokedError) as caught:
                decide(ALICE, [listing(start=-2 * DAY, end=9 * DAY), answer(), said], NOW)
            assert caught.value.code is RefusalCode.REVOKED
            assert words in caught.value.text
            assert caught.value.source == said.source


def test_every_reason_of_the_standard_has_its_words() -> None:
    for reason in set(x509.ReasonFlags) - {x509.ReasonFlags.unspecified, REMOVED}:
        with pytest.raises(RevokedError, match=r"\("):
            decide(ALICE, [listing(on(reason))], NOW)


def test_stale_evidence_never_says_that_it_is_not_revoked() -> None:
    stale = listing(start=-2 * DAY, end=-DAY)
    assert decide(ALICE, [stale], NOW) is None
    assert decide(ALICE, [stale], NOW - DAY)
    assert decide(ALICE, [stale], NOW - DAY + timedelta(seconds=1)) is None


def test_a_revocation_outlives_its_list_and_its_answer_but_a_hold_does_not() -> None:
    for said in (listing(on(), start=-2 * DAY, end=-DAY), answer(is_revoked=True, end=-DAY)):
        with pytest.raises(RevokedError):
            decide(ALICE, [said, listing()], NOW)
    assert decide(ALICE, [listing(on(HOLD), start=-2 * DAY, end=-DAY)], NOW) is None
    assert decide(ALICE, [answer(is_revoked=True, reason=HOLD, end=-DAY), listing()], NOW)


def test_evidence_from_the_future_counts_within_the_clocks_tolerance_but_revokes_beyond() -> None:
    assert decide(ALICE, [listing(start=CLOCK_TOLERANCE)], NOW)
    late = CLOCK_TOLERANCE + timedelta(seconds=1)
    assert decide(ALICE, [listing(start=late)], NOW) is None
    with pytest.raises(RevokedError):
        decide(ALICE, [listing(), listing(on(), start=late)], NOW)


def test_a_list_that_can_not_be_used_still_revokes() -> None:
    odd: list[Extensions] = [
        [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), True)],
        [scope(only_contains_ca_certs=True)],
        [scope(full_name=[x509.UniformResourceIdentifier("http://elsewhere.example")])],
        [scope(indirect_crl=True)],
        [scope(only_some_reasons=frozenset({HOLD}))],
    ]
    for extensions in odd:
        with pytest.raises(RevokedError):
            decide(ALICE, [listing(end=9 * DAY), listing(on(), extensions=extensions)], NOW)


def test_a_delta_revokes_what_its_list_does_not() -> None:
    assert decide(ALICE, [listing(), delta()], NOW)
    with pytest.raises(RevokedError):
        decide(ALICE, [listing(), delta(on())], NOW)
    with pytest.raises(RevokedError):
        decide(ALICE, [listing(), delta(on(), end=-DAY / 4)], NOW)


def test_a_delta_alone_is_no_evidence() -> None:
    assert decide(ALICE, [delta()], NOW) is None
    assert decide(ALICE, [listing(extensions=()), delta()], NOW + 2 * DAY) is None


def test_a_delta_makes_its_list_fresh() -> None:
    stale = listing(end=-DAY / 4)
    assert decide(ALICE, [stale], NOW) is None
    found = decide(ALICE, [stale, delta()], NOW)
    assert found is not None
    assert found.fresh_until == NOW + DAY
    with pytest.raises(RevokedError):
        decide(ALICE, [listing(on(HOLD), end=-DAY / 4), delta()], NOW)


def test_a_delta_takes_back_a_hold_and_nothing_else() -> None:
    assert decide(ALICE, [listing(on(HOLD)), delta(on(REMOVED))], NOW)
    for held, removing in (
        (on(), delta(on(REMOVED))),
        (on(x509.ReasonFlags.superseded), delta(on(REMOVED))),
        (on(HOLD), delta()),
        (on(HOLD), delta(on(REMOVED), end=-DAY / 4)),
        (on(HOLD), delta(on(REMOVED), start=-2 * DAY)),
    ):
        with pytest.raises(RevokedError):
            decide(ALICE, [listing(held), removing], NOW)


def test_a_newer_list_takes_back_a_hold_and_nothing_else() -> None:
    assert decide(ALICE, [listing(on(HOLD)), listing(start=-DAY / 2)], NOW)
    for older in (listing(on()), listing(on(HOLD), start=-DAY / 4)):
        with pytest.raises(RevokedError):
            decide(ALICE, [older, listing(start=-DAY / 2)], NOW)


def test_a_delta_of_another_list_does_not_complete_it() -> None:
    for number in (4, 9, 10):
        stale = listing(end=-DAY / 4, extensions=((x509.CRLNumber(number), False),))
        assert decide(ALICE, [stale, delta()], NOW) is None
    part = listing(end=-DAY / 4, extensions=[(x509.CRLNumber(5), False), scope(only_contains_user_certs=True)])
    assert decide(ALICE, [part, delta()], NOW) is None


def test_several_lists_may_be_needed_for_every_reason() -> None:
    some = frozenset({x509.ReasonFlags.key_compromise, x509.ReasonFlags.ca_compromise})
    rest = frozenset(x509.ReasonFlags) - some - {x509.ReasonFlags.unspecified, REMOVED}
    one, two = (listing(extensions=[scope(only_some_reasons=each)]) for each in (some, rest))
    assert decide(ALICE, [one], NOW) is None
    assert decide(ALICE, [two], NOW) is None
    assert decide(ALICE, [one, two], NOW)
    assert "does not cover every reason" in shortcomings(ALICE, [one], NOW)[0]


def test_evidence_about_others_does_not_count() -> None:
    other = crl.verify(ROOT.revocation_list(), ROOT.certificate)
    assert decide(ALICE, [other], NOW) is None
    assert shortcomings(ALICE, [other], NOW) == []


def test_what_is_stale_or_to_come_is_told() -> None:
    said = shortcomings(ALICE, [listing(end=-DAY / 2), listing(start=DAY, end=2 * DAY), answer(end=-DAY)], NOW)
    assert said == [
        "the revocation list of “Sub” is stale since 2030-01-15",
        "the revocation list of “Sub” is not valid before 2030-01-16",
        "the answer of the OCSP responder of “Sub” is stale since 2030-01-14",
    ]
