from cryptography import x509

from sra.identity import crl
from sra.identity.authorities import Issued
from sra.identity.lists import ALL_REASONS, good, reasons, revocation, speaks_of
from tests.chains import NOW, Entry, named, root, scope

ROOT = root()
SUB = ROOT.authority("Sub")
ALICE = Issued(SUB.issue("Alice"), SUB.certificate)
SUBS = (x509.CertificateIssuer([x509.DirectoryName(named("sub"))]), True)


def test_a_list_speaks_of_its_issuer_s_certificates() -> None:
    own, other = (crl.verify(each.revocation_list(), each.certificate) for each in (SUB, ROOT))
    assert (reasons(own, ALICE), speaks_of(own, ALICE)) == (ALL_REASONS, True)
    assert (reasons(other, ALICE), speaks_of(other, ALICE)) == (frozenset(), False)
    assert good(ALICE, [other, own], NOW) is not None
    assert good(ALICE, [other], NOW) is None


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
        assert (revocation(ALICE, [found], NOW) is not None) is is_revoked


def test_a_point_that_names_another_issuer_makes_that_one_s_indirect_list_count() -> None:
    name = [x509.UniformResourceIdentifier("http://lists.example/all")]
    point = x509.DistributionPoint(name, None, None, [x509.DirectoryName(named("ROOT"))])
    pointing = Issued(SUB.issue("Alice", [(x509.CRLDistributionPoints([point]), False)]), SUB.certificate)
    indirect = crl.verify(ROOT.revocation_list((), [scope(indirect_crl=True)]), ROOT.certificate)
    plain = crl.verify(ROOT.revocation_list(), ROOT.certificate)
    assert (reasons(indirect, pointing), reasons(plain, pointing)) == (ALL_REASONS, frozenset())
