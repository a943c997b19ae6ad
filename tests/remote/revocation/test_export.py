import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from hypothesis import given, settings
from hypothesis import strategies as st

from sra.errors import UsageError
from sra.identity.authorities import Authorities
from sra.remote.revocation.cache import Cache, CachedAnswer
from sra.remote.revocation.export import LoginTrust, login_trust, name_hash, write_folder
from sra.remote.revocation.sources import ListSource, digest
from sra.remote.revocation.trust_folder import TrustFolder
from tests.chains import DAY, NOW, Entry, key, named, root, scope, signed

ROOT = root()
SUB = ROOT.authority("Sub")
WEEK, HOUR = timedelta(days=7), timedelta(hours=1)
OID = x509.NameOID


def openssl_hash(certificate: x509.Certificate) -> str:
    command = ["openssl", "x509", "-noout", "-subject_hash"]
    pem = certificate.public_bytes(Encoding.PEM)
    return subprocess.run(command, input=pem, capture_output=True, check=True).stdout.decode().strip()


def self_signed(name: x509.Name) -> x509.Certificate:
    return signed(name, key("Name"), name, key("Name"), (), (NOW, NOW + DAY))


@pytest.mark.parametrize(
    "name",
    [
        named("Root"),
        named("  Two   Words\tand\nlines "),
        named("ÄÖÜ ẞ Ελλάς İstanbul"),
        named(" "),
        x509.Name([]),
        x509.Name([x509.NameAttribute(OID.COMMON_NAME, "Printable", _ASN1Type.PrintableString)]),
        x509.Name([x509.NameAttribute(OID.COMMON_NAME, "BMP Ärger", _ASN1Type.BMPString)]),
        x509.Name([x509.NameAttribute(OID.COMMON_NAME, "Universal 𝄞", _ASN1Type.UniversalString)]),
        x509.Name(
            [x509.NameAttribute(OID.DOMAIN_COMPONENT, "Example"), x509.NameAttribute(OID.EMAIL_ADDRESS, "A@B.C")]
        ),
        x509.Name([x509.NameAttribute(OID.X500_UNIQUE_IDENTIFIER, b"\x00bits", _ASN1Type.BitString)]),
        x509.Name(
            [
                x509.RelativeDistinguishedName(
                    [x509.NameAttribute(OID.SURNAME, "zz"), x509.NameAttribute(OID.COMMON_NAME, "AA longer")]
                ),
                x509.RelativeDistinguishedName([x509.NameAttribute(OID.COUNTRY_NAME, "DE")]),
            ]
        ),
    ],
    ids=[
        "plain",
        "spaces",
        "not ascii",
        "empty",
        "no name",
        "printable",
        "bmp",
        "universal",
        "ia5",
        "bits",
        "multiple",
    ],
)
def test_names_are_hashed_as_openssl_does(name: x509.Name) -> None:
    assert name_hash(name) == openssl_hash(self_signed(name))


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)


@settings(max_examples=25, deadline=None)
@given(TEXTS.filter(lambda text: len(text.encode()) <= 64))  # bytes of a common name that the library makes
def test_any_text_is_hashed_as_openssl_does(text: str) -> None:
    assert name_hash(named(text)) == openssl_hash(self_signed(named(text)))


@pytest.fixture
def trust(tmp_path: Path) -> TrustFolder:
    folder = tmp_path / "trust"
    folder.mkdir()
    pem = b"".join(each.certificate.public_bytes(Encoding.PEM) for each in (ROOT, SUB))
    (folder / "authorities.pem").write_bytes(pem)
    (folder / "root.crl").write_bytes(ROOT.revocation_list())
    return TrustFolder(folder, folder)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "kept")


def keep(cache: Cache, body: bytes, number: int = 1) -> None:
    address = f"http://lists.example/{number}"
    cache.write(ListSource(address, SUB.certificate).key, CachedAnswer(address, digest(SUB.certificate), NOW, body))


def issuers(found: LoginTrust) -> list[str]:
    return [each.issuer.rfc4514_string() for each in found.lists]


def test_filed_and_kept_lists_are_for_the_login_too(trust: TrustFolder, cache: Cache) -> None:
    keep(cache, SUB.revocation_list())
    found = login_trust(trust.read(), cache, WEEK, NOW)
    assert issuers(found) == ["CN=Root", "CN=Sub"]
    assert set(found.folder) == {
        *(f"{name_hash(each.certificate.subject)}{kind}0" for each in (ROOT, SUB) for kind in (".", ".r"))
    }


def test_the_newest_list_of_each_authority_and_scope_counts_and_a_stale_one_never(
    trust: TrustFolder, cache: Cache
) -> None:
    keep(cache, SUB.revocation_list([Entry(1)], dates=(NOW - 2 * DAY, NOW + DAY)), 1)
    keep(cache, SUB.revocation_list([Entry(1), Entry(2)], dates=(NOW - DAY, NOW + DAY)), 2)
    keep(cache, SUB.revocation_list(dates=(NOW, NOW + DAY), extensions=[scope(only_contains_user_certs=True)]), 3)
    found = login_trust(trust.read(), cache, WEEK, NOW)
    assert sorted(each.count for each in found.lists if each.issuer == SUB.certificate.subject) == [0, 2]
    assert {name[-2:] for name in found.folder if ".r" in name} == {"r0", "r1"}
    assert login_trust(trust.read(), cache, WEEK, NOW + 2 * DAY).lists == ()


def test_a_kept_list_counts_no_longer_than_the_policy_says(trust: TrustFolder, cache: Cache) -> None:
    keep(cache, SUB.revocation_list(dates=(NOW - DAY, NOW + 9 * DAY)))
    assert issuers(login_trust(trust.read(), cache, 2 * DAY, NOW + DAY)) == ["CN=Root", "CN=Sub"]
    assert issuers(login_trust(trust.read(), cache, HOUR, NOW + HOUR / 2)) == ["CN=Root", "CN=Sub"]
    assert issuers(login_trust(trust.read(), cache, HOUR, NOW + 2 * HOUR)) == ["CN=Root"]


def test_what_is_kept_is_verified_again(trust: TrustFolder, cache: Cache) -> None:
    keep(cache, ROOT.revocation_list())
    address = "http://lists.example/2"
    cache.write("ab" * 32, CachedAnswer(address, digest(SUB.certificate), NOW, SUB.revocation_list()))
    assert issuers(login_trust(trust.read(), cache, WEEK, NOW)) == ["CN=Root"]


def test_openssl_verifies_a_card_with_the_folder(trust: TrustFolder, cache: Cache, tmp_path: Path) -> None:
    alice, bob = SUB.issue("Alice"), SUB.issue("Bob")
    keep(cache, SUB.revocation_list([Entry(bob.serial_number)]))
    found = login_trust(trust.read(), cache, WEEK, NOW)
    write_folder(tmp_path / "ca", found.folder)
    (tmp_path / "authorities.pem").write_bytes(found.authorities_file)
    (tmp_path / "lists.pem").write_bytes(found.lists_file)
    files = ["-CAfile", str(tmp_path / "authorities.pem"), "-CRLfile", str(tmp_path / "lists.pem")]
    for where in (["-CApath", str(tmp_path / "ca")], files):
        for certificate, said in ((alice, "OK"), (bob, "certificate revoked")):
            command = ["openssl", "verify", "-crl_check_all", "-attime", str(int(NOW.timestamp())), *where]
            pem = certificate.public_bytes(Encoding.PEM)
            ended = subprocess.run(command, input=pem, capture_output=True, check=False)
            assert said in (ended.stdout + ended.stderr).decode()


def test_the_folder_is_what_openssl_rehash_would_make(tmp_path: Path) -> None:
    twins = [root("Twin", own=key(str(number))).certificate for number in range(3)]
    found = LoginTrust(Authorities(tuple(twins)), ())
    write_folder(tmp_path, found.folder)
    ours = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(ours) == 3
    for path in tmp_path.iterdir():
        path.unlink()
    for number, twin in enumerate(twins):
        (tmp_path / f"{number}.pem").write_bytes(twin.public_bytes(Encoding.PEM))
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
    theirs = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_symlink()}
    assert (set(ours), sorted(ours.values())) == (set(theirs), sorted(theirs.values()))


def test_a_folder_is_brought_up_to_date_and_other_files_stay(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    write_folder(
        folder, {"0123abcd.0": b"one", "0123abcd.1": b"two", "0123abcd.r0": b"a list", "0123abcd.r1": b"short"}
    )
    (folder / "README").touch()
    (folder / "89abcdef.0").symlink_to("/etc/hostname")
    before = (folder / "0123abcd.0").stat().st_ino
    write_folder(
        folder, {"0123abcd.0": b"one", "0123abcd.r0": b"less", "0123abcd.r1": b"a longer one", "89abcdef.0": b"three"}
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "README": b"",
        "0123abcd.0": b"one",
        "0123abcd.r0": b"less",
        "0123abcd.r1": b"a longer one",
        "89abcdef.0": b"three",
    }
    assert (folder / "0123abcd.0").stat().st_ino == before
    assert not (folder / "89abcdef.0").is_symlink()
    assert Path("/etc/hostname").read_bytes() != b"three"
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.r0")} == {0o644}


def test_only_hashed_names_are_written(tmp_path: Path) -> None:
    for name in ("../escape.0", "x.pem", "0123abcd", "0123ABCD.0"):
        with pytest.raises(UsageError):
            write_folder(tmp_path / "ca", {name: b""})
    assert os.listdir(tmp_path / "ca") == []  # noqa: PTH208 - only the names
