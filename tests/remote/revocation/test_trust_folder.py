import os
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sra.remote.revocation.trust_folder import TrustedCertificates, TrustFolder
from tests.chains import Authority, key, root

ROOT = root()
SUB = ROOT.authority("Sub")
NOBODY = 65534


def pem(*authorities: Authority) -> bytes:
    return b"".join(each.certificate.public_bytes(Encoding.PEM) for each in authorities)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "authorities.pem").write_bytes(pem(ROOT, SUB))
    return tmp_path


def read(folder: Path) -> TrustedCertificates:
    return TrustFolder(folder, folder).read()


def test_authorities_and_lists_are_read_in_every_form(folder: Path) -> None:
    (folder / "another.der").write_bytes(root("Another").certificate.public_bytes(Encoding.DER))
    (folder / "sub.crl").write_bytes(SUB.revocation_list())
    (folder / "root.crl").write_bytes(x509.load_der_x509_crl(ROOT.revocation_list()).public_bytes(Encoding.PEM))
    found = read(folder)
    assert [each.subject.rfc4514_string() for each in found.authorities.all] == ["CN=Another", "CN=Root", "CN=Sub"]
    assert sorted(each.issuer.rfc4514_string() for each in found.lists) == ["CN=Root", "CN=Sub"]
    assert found.problems == ()


def test_lists_may_be_in_a_folder_of_their_own(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    lists = tmp_path_factory.mktemp("lists")
    (lists / "sub.crl").write_bytes(SUB.revocation_list())
    (folder / "sub.crl").write_bytes(b"not looked at")
    found = TrustFolder(folder, lists).read()
    assert [each.signers for each in found.lists] == [(SUB.certificate,)]
    assert found.problems == ()


def test_a_folder_that_is_not_there_trusts_nobody(tmp_path: Path) -> None:
    assert read(tmp_path / "no") == TrustedCertificates()


def test_the_links_of_openssl_rehash_and_other_files_are_passed_over(folder: Path) -> None:
    (folder / "5ad8a5d6.0").symlink_to("authorities.pem")
    (folder / "README").write_text("of ours")
    assert read(folder).problems == ()


def test_what_can_not_be_used_is_named_and_the_rest_is(folder: Path) -> None:
    (folder / "rubbish.pem").write_bytes(b"rubbish")
    (folder / "rubbish.crl").write_bytes(b"rubbish")
    (folder / "stranger.crl").write_bytes(root("Stranger").revocation_list())
    (folder / "forged.crl").write_bytes(Authority(SUB.certificate, key("Mallory")).revocation_list())
    (folder / "link.pem").symlink_to("/etc/passwd")
    (folder / "open.pem").write_bytes(pem(root("Open")))
    (folder / "open.pem").chmod(0o666)
    (folder / "card.pem").write_bytes(SUB.issue("Alice").public_bytes(Encoding.PEM))
    found = read(folder)
    assert len(found.authorities.all) == 2
    assert found.lists == ()
    text = "\n".join(map(str, found.problems))
    for name in ("rubbish.pem", "rubbish.crl", "stranger.crl", "forged.crl", "link.pem", "open.pem"):
        assert f"{folder / name} is not used" in text
    assert "none of an authority" in text


def test_a_stranger_s_file_trusts_nobody(folder: Path) -> None:
    for owner in [NOBODY] if os.geteuid() == 0 else []:
        os.chown(folder / "authorities.pem", owner, owner)
        found = read(folder)
        assert found.authorities.all == ()
        assert "belongs to another user" in str(found.problems[0])


def test_of_two_authorities_with_one_name_the_list_counts_for_its_signer(folder: Path) -> None:
    twin = Authority(ROOT.issue("Sub", public=key("Twin"), extensions=list(SUB_EXTENSIONS)), key("Twin"))
    (folder / "twin.pem").write_bytes(pem(twin))
    (folder / "twin.crl").write_bytes(twin.revocation_list())
    assert [each.signers for each in read(folder).lists] == [(twin.certificate,)]


SUB_EXTENSIONS = [(each.value, each.critical) for each in SUB.certificate.extensions]


def test_what_was_read_is_kept_until_something_changes(folder: Path) -> None:
    trust = TrustFolder(folder, folder)
    assert trust.current is None
    first = trust.read()
    assert trust.current is first
    time.sleep(0.02)
    (folder / "sub.crl").write_bytes(SUB.revocation_list())
    assert trust.current is None
    second = trust.read()
    assert (first.lists, [each.signers for each in second.lists]) == ((), [(SUB.certificate,)])
    (folder / "authorities.pem").unlink()
    assert trust.current is None
    assert trust.read().authorities.all == ()
