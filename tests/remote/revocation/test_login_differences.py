from cryptography import x509

from sra.remote.revocation.export import login_differences
from sra.remote.revocation.trust_folder import TrustFolder
from tests.chains import AUTHORITY, Authority, Extensions, key, root, scope, usage
from tests.remote.revocation.policy_remote import ROOT, SUB, Remote

DELTA: Extensions = [(x509.CRLNumber(6), False), (x509.DeltaCRLIndicator(5), True)]


def told(remote: Remote, *, needs_revocation: bool = True) -> str:
    trusted = TrustFolder(remote.trust, remote.trust).read()
    return " ".join(login_differences(trusted, needs_revocation=needs_revocation))


def test_where_there_is_nothing_special_the_login_judges_alike(remote: Remote) -> None:
    remote.file("root", ROOT.revocation_list())
    remote.file("sub", SUB.revocation_list(extensions=[scope(only_contains_user_certs=True)]))
    assert told(remote) == ""


def test_deltas_parts_and_odd_lists_are_named(remote: Remote) -> None:
    some = frozenset({x509.ReasonFlags.superseded})
    remote.file("delta", SUB.revocation_list(extensions=DELTA))
    remote.file("part", SUB.revocation_list(extensions=[scope(only_some_reasons=some)]))
    remote.file("indirect", ROOT.revocation_list(extensions=[scope(indirect_crl=True)]))
    said = told(remote)
    assert "does not read the delta revocation list of “Sub”" in said
    assert "the revocation list of “Sub”, which is for some reasons only or indirect" in said
    assert "the revocation list of “Root”, which is" in said
    assert told(remote, needs_revocation=False) == ""


def test_a_key_for_lists_and_several_certificates_are_named(remote: Remote) -> None:
    lists_only = (AUTHORITY[0], (usage("crl_sign"), True))
    lister = Authority(ROOT.issue("Sub", lists_only, public=key("lister")), key("lister"))
    remote.trusting(ROOT, SUB, lister)
    remote.file("sub", lister.revocation_list())
    assert "The lists of “Sub” are signed by another of its keys" in told(remote)
    remote.trusting(ROOT, SUB, ROOT.authority("Sub"), root("Other"))
    assert told(remote).startswith("“Sub” has several certificates here")
