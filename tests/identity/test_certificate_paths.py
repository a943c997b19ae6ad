from itertools import count

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from sra.identity import certificate_paths as paths
from sra.identity.certificate_paths import PathError, PathFinder, has_issued
from sra.identity.x509_reading import has_signed
from tests.chains import AUTHORITY, DAY, NOW, Authority, key, named, root, signed

ROOT = root()
SUB = ROOT.authority("Sub")
LEAF = SUB.issue("Alice")
PATH = (LEAF, SUB.certificate, ROOT.certificate)


def finder(*others: Authority) -> PathFinder:
    return PathFinder([ROOT.certificate], [each.certificate for each in (SUB, *others)])


def test_every_way_is_found_the_shortest_first() -> None:
    bridge = ROOT.authority("Bridge")
    cross = Authority(bridge.issue("Sub", AUTHORITY), key("Sub"))
    found = list(finder(bridge, cross).paths(LEAF))
    assert found == [PATH, (LEAF, cross.certificate, bridge.certificate, ROOT.certificate)]


def test_the_bound_on_steps_ends_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_STEPS", 1)
    assert list(finder().paths(LEAF)) == []


def test_what_was_valid_is_not_judged_anew_but_its_dates_are(monkeypatch: pytest.MonkeyPatch) -> None:
    judging = finder()
    valid = judging.check(PATH, NOW)
    monkeypatch.setattr(judging, "_judge", None)
    assert judging.check(PATH, NOW + DAY) is valid
    with pytest.raises(PathError, match="out of its dates"):
        judging.check(PATH, NOW + 40 * DAY)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_KEPT", 2)
    judging = finder()
    for number in range(4):
        judging.check((SUB.issue(f"Card {number}"), SUB.certificate, ROOT.certificate), NOW)
    assert len(judging._valid) == 2


def test_name_and_key_make_an_issuer_and_the_key_alone_a_signer() -> None:
    assert has_issued(SUB.certificate, LEAF)
    other = signed(named("Other"), key("Sub"), named("Alice"), key("Alice"), (), (NOW - DAY, NOW + DAY))
    assert (has_signed(SUB.certificate, other), has_issued(SUB.certificate, other)) == (True, False)
    identified = SUB.issue(
        "Alice", [(x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(named("Root"))], 7), False)]
    )
    assert not has_issued(SUB.certificate, identified)


def test_an_rsa_signature_under_a_certificate_that_begins_with_a_zero_byte_has_it() -> None:
    private = rsa.generate_private_key(65537, 2048)
    pss = padding.PSS(padding.MGF1(SHA256()), 32)
    builder = x509.CertificateBuilder(named("Root"), named("Alice"), key("Alice").public_key())
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
    made = (builder.serial_number(number).sign(private, SHA256(), rsa_padding=pss) for number in count(1))
    whole = next(certificate for certificate in made if certificate.signature.startswith(b"\x00"))
    before = whole.public_bytes(Encoding.DER)[4 : -len(b"\x03\x82\x01\x01\x00" + whole.signature)]
    content = before + b"\x03\x82\x01\x00\x00" + whole.signature[1:]
    cut = x509.load_der_x509_certificate(b"\x30\x82" + len(content).to_bytes(2, "big") + content)
    assert cut.signature == whole.signature[1:]
    issuer = root("RSA", own=private).certificate
    assert (has_signed(issuer, whole), has_signed(issuer, cut)) == (True, False)
