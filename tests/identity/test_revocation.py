import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from sra.errors import RefusalCode
from sra.identity.authorities import Issued
from sra.identity.revocation import DistributionPoint, EvidencePlaces, Revocation, RevokedError, places, unknown
from tests.chains import NOW, points, responder, root

ROOT = root()
SUB = ROOT.authority("Sub")
ALICE = Issued(SUB.issue("Alice"), SUB.certificate)
SUB_ITSELF = Issued(SUB.certificate, ROOT.certificate)


def test_what_can_not_be_known_is_told_with_every_reason_once() -> None:
    problem = "lists.example can't be asked: no answer in time"
    refused = unknown(ALICE, [problem, problem])
    assert refused.code is RefusalCode.REVOCATION_UNKNOWN
    assert refused.text.count(problem) == 1
    assert "the card's certificate" in refused.text


def test_where_there_is_no_place_to_ask_that_is_said() -> None:
    assert "names no place to ask" in unknown(ALICE, []).text


def test_a_refusal_fits_into_a_message_whatever_the_servers_said() -> None:
    assert len(unknown(ALICE, ["x" * 5000]).text) < 1000


def test_an_authority_is_called_by_its_name() -> None:
    assert "the authority “Sub” is revoked" in unknown(SUB_ITSELF, []).text
    assert "The authority “Sub” was revoked" in RevokedError(SUB_ITSELF, Revocation(NOW, None), "a list").text


@pytest.mark.parametrize(
    ("reason", "is_on_hold", "is_removal", "is_of_key"),
    [
        (None, False, False, False),
        (x509.ReasonFlags.certificate_hold, True, False, False),
        (x509.ReasonFlags.remove_from_crl, False, True, False),
        (x509.ReasonFlags.key_compromise, False, False, True),
        (x509.ReasonFlags.ca_compromise, False, False, True),
        (x509.ReasonFlags.superseded, False, False, False),
    ],
)
def test_reasons_are_told_apart(
    reason: x509.ReasonFlags | None, *, is_on_hold: bool, is_removal: bool, is_of_key: bool
) -> None:
    found = Revocation(NOW, reason)
    assert (found.is_on_hold, found.is_removal, found.is_of_key) == (is_on_hold, is_removal, is_of_key)


def test_the_places_are_those_in_the_certificate() -> None:
    one, two, three = "http://a.example/1.crl", "ldap://b.example/cn=x", "http://ocsp.example"
    leaf = SUB.issue("Alice", [points(one, two, one), responder(three)])
    assert places(leaf) == EvidencePlaces((DistributionPoint(one), DistributionPoint(two)), (three,))
    assert places(ALICE.certificate) == EvidencePlaces((), ())


def test_points_of_other_issuers_and_of_deltas_are_told_apart() -> None:
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
        (x509.FreshestCRL(found[1:2]), False),
    ]
    address = "http://a.example"
    expected = EvidencePlaces(
        (DistributionPoint(address, (ROOT.certificate.subject,)), DistributionPoint(address)),
        (),
        (DistributionPoint(address),),
    )
    assert places(SUB.issue("Alice", extensions)) == expected
