import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

from sra.errors import UsageError
from sra.system.files import FileError
from sra.transport import identity_choice, tls_identity
from sra.transport.identity_choice import Found, IdentityCandidate
from sra.transport.tls_identity import IdentityFiles, TlsIdentityError

NOW = datetime.now(UTC)
PASSWORD = b"correct horse"


def made(name: str) -> IdentityFiles:
    return tls_identity.make([name], NOW)


def certificate_of(files: IdentityFiles) -> x509.Certificate:
    return x509.load_pem_x509_certificate(files.certificates)


def der_of(files: IdentityFiles) -> bytes:
    return certificate_of(files).public_bytes(serialization.Encoding.DER)


def put(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def as_pkcs12(files: IdentityFiles, password: bytes = PASSWORD) -> bytes:
    key = serialization.load_pem_private_key(files.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"remote", key, certificate_of(files), None, how)


def never(path: Path) -> bytes:
    raise AssertionError(f"asked for the password of {path}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "identities").mkdir()
    return tmp_path / "identities"


def found(folder: Path) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.path.name, each.names) for each in identity_choice.in_pem(folder).identities]


def problem(folder: Path, kind: type[UsageError]) -> str:
    """The only thing that is wrong in the folder, beside an identity that can be used."""
    good = made("good")
    put(folder / "good.pem", identity_choice.pem_file(good))
    both = identity_choice.in_pem(folder)
    assert [each.files for each in both.identities] == [good]
    (found,) = both.problems
    assert isinstance(found, kind)
    assert identity_choice.find(folder, hashlib.sha256(der_of(good)).digest(), never) is not None
    with pytest.raises(TlsIdentityError) as raised:
        identity_choice.find(folder, b"\0" * 32, never)
    assert str(found) in str(raised.value)
    return str(found)


def test_a_pair_in_one_file_or_in_two_is_an_identity(folder: Path) -> None:
    one, two = made("one"), made("two")
    put(folder / "one.pem", identity_choice.pem_file(one))
    put(folder / "two.crt", two.certificates, 0o644)
    put(folder / "whatever.key", two.key)
    assert found(folder) == [("one.pem", ("one",)), ("two.crt", ("two",))]
    assert [each.files for each in identity_choice.in_pem(folder).identities] == [one, two]


def test_a_certificate_without_its_key_and_a_key_without_its_certificate_are_none(folder: Path) -> None:
    put(folder / "a.crt", made("a").certificates)
    put(folder / "b.key", made("b").key)
    put(folder / "c.pem", b"-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    put(folder / "readme.txt", b"nothing to see")
    assert found(folder) == []


def test_there_are_none_where_there_is_no_folder(tmp_path: Path) -> None:
    assert identity_choice.in_pem(tmp_path / "none") == Found([], [])
    assert identity_choice.find(tmp_path / "none", b"\0" * 20, never) is None


def test_a_chain_stays_behind_its_certificate(folder: Path) -> None:
    leaf, authority = made("leaf"), made("authority")
    put(folder / "leaf.pem", leaf.key + leaf.certificates + authority.certificates)
    (chosen,) = identity_choice.in_pem(folder).identities
    assert chosen.files.certificates == leaf.certificates + authority.certificates
    assert chosen.certificate == der_of(leaf)


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_one_is_chosen_by_either_fingerprint(folder: Path, digest: str) -> None:
    wanted = made("wanted")
    for name, files in (("a", made("a")), ("wanted", wanted), ("z", made("z"))):
        put(folder / f"{name}.pem", identity_choice.pem_file(files))
    chosen = identity_choice.find(folder, hashlib.new(digest, der_of(wanted)).digest(), never)
    assert isinstance(chosen, IdentityCandidate)
    assert chosen.files == wanted
    assert chosen.fingerprint.startswith("SHA256:")
    assert bytes.fromhex(chosen.sha1.replace(":", "")) == hashlib.sha1(der_of(wanted), usedforsecurity=False).digest()


def test_a_pkcs12_file_is_opened_with_its_password_only_when_no_pem_file_fits(folder: Path) -> None:
    plain, closed = made("plain"), made("closed")
    put(folder / "plain.pem", identity_choice.pem_file(plain))
    put(folder / "closed.p12", as_pkcs12(closed))
    assert identity_choice.pkcs12_files(folder) == [folder / "closed.p12"]
    assert identity_choice.find(folder, hashlib.sha1(der_of(plain), usedforsecurity=False).digest(), never) is not None
    asked: list[Path] = []

    def ask(path: Path) -> bytes:
        asked.append(path)
        return PASSWORD

    chosen = identity_choice.find(folder, hashlib.sha256(der_of(closed)).digest(), ask)
    assert chosen is not None
    assert chosen.files == closed
    assert asked == [folder / "closed.p12"]
    assert identity_choice.find(folder, b"\0" * 32, ask) is None


def test_a_pkcs12_file_that_does_not_open_is_passed_over_and_told_if_no_other_fits(folder: Path) -> None:
    wanted = made("wanted")
    put(folder / "a.p12", as_pkcs12(made("other"), b"another password"))
    put(folder / "b.p12", as_pkcs12(wanted))
    put(folder / "c.p12", b"rubbish")
    chosen = identity_choice.find(folder, hashlib.sha256(der_of(wanted)).digest(), lambda _: PASSWORD)
    assert chosen is not None
    assert chosen.files == wanted
    with pytest.raises(TlsIdentityError, match=r"a\.p12 can't be opened.*c\.p12 can't be opened"):
        identity_choice.find(folder, b"\0" * 32, lambda _: PASSWORD)


def test_the_same_identity_in_two_files_is_one_but_with_another_chain_it_is_not_guessed(folder: Path) -> None:
    wanted, authority = made("wanted"), made("authority")
    choice = hashlib.sha1(der_of(wanted), usedforsecurity=False).digest()
    for name in ("a", "b"):
        put(folder / f"{name}.pem", identity_choice.pem_file(wanted))
    chosen = identity_choice.find(folder, choice, never)
    assert chosen is not None
    assert (chosen.path.name, chosen.files) == ("a.pem", wanted)
    put(folder / "b.pem", wanted.certificates + authority.certificates + wanted.key)
    with pytest.raises(TlsIdentityError, match=r"a\.pem and .*b\.pem have that fingerprint.*Remove one"):
        identity_choice.find(folder, choice, never)


def test_a_pkcs12_file_without_a_password_opens_with_an_empty_one(folder: Path) -> None:
    files = made("open")
    path = put(folder / "open.pfx", as_pkcs12(files, b""))
    assert identity_choice.open_pkcs12(path, b"").files == files


@pytest.mark.parametrize(("content", "password"), [(None, b"wrong"), (b"rubbish", PASSWORD), (b"", PASSWORD)])
def test_a_wrong_password_and_rubbish_are_told(folder: Path, content: bytes | None, password: bytes) -> None:
    path = put(folder / "a.p12", as_pkcs12(made("a")) if content is None else content)
    with pytest.raises(TlsIdentityError, match="password is wrong, or it is no PKCS#12"):
        identity_choice.open_pkcs12(path, password)


def test_a_pkcs12_file_without_a_key_holds_no_identity(folder: Path) -> None:
    data = pkcs12.serialize_java_truststore(
        [pkcs12.PKCS12Certificate(certificate_of(made("a")), None)],
        serialization.BestAvailableEncryption(PASSWORD),
    )
    with pytest.raises(TlsIdentityError, match="no certificate with its key"):
        identity_choice.open_pkcs12(put(folder / "a.p12", data), PASSWORD)


def test_a_key_that_everybody_can_read_is_refused(folder: Path) -> None:
    put(folder / "a.pem", identity_choice.pem_file(made("a")), 0o644)
    assert problem(folder, TlsIdentityError).endswith(f"chmod 600 {folder}/a.pem")


def test_a_key_with_a_password_is_refused(folder: Path) -> None:
    how = serialization.BestAvailableEncryption(PASSWORD)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    put(folder / "a.key", pem)
    assert "without a password" in problem(folder, TlsIdentityError)


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere.pem", identity_choice.pem_file(made("a")))
    (folder / "a.pem").symlink_to(tmp_path / "elsewhere.pem")
    assert "symbolic link" in problem(folder, FileError)


def test_a_pair_that_a_person_names_is_opened(tmp_path: Path) -> None:
    files, other = made("a"), made("b")
    certificate, key = put(tmp_path / "a", files.certificates), put(tmp_path / "k", files.key)
    assert identity_choice.open_pem(certificate, key).files == files
    with pytest.raises(TlsIdentityError, match="no certificate with its key"):
        identity_choice.open_pem(certificate, put(tmp_path / "other", other.key))
    with pytest.raises(TlsIdentityError, match="is missing"):
        identity_choice.open_pem(tmp_path / "none", key)


def test_another_authority_s_certificate_is_an_identity_too(folder: Path) -> None:
    key, authority = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "remote")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    pem = builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    put(folder / "a.pem", pem + private)
    (chosen,) = identity_choice.in_pem(folder).identities
    assert chosen.names == ()


@pytest.mark.parametrize(
    "text", ["AB" * 20, "ab:" * 19 + "ab", "SHA1:" + "ab" * 20, " sha256:" + "AB" * 32, "ab " * 31 + "ab"]
)
def test_a_fingerprint_is_read_as_people_write_it(text: str) -> None:
    assert set(identity_choice.parse_choice(text)) == {0xAB}


@pytest.mark.parametrize("text", ["", "AB", "AB" * 21, "x" * 40, "AB" * 31])
def test_what_is_no_fingerprint_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="sra identity list"):
        identity_choice.parse_choice(text)
