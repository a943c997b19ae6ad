import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from sra.remote.license import issuers
from sra.remote.license.issuers import IssuerKeyError

PASSPHRASE = b"correct horse"


def generate(folder: Path) -> tuple[Path, Path]:
    private, public = folder / "keys" / "key.pem", folder / "keys" / "key.pub.pem"
    issuers.generate(private, public, PASSPHRASE)
    return private, public


def test_the_private_key_is_encrypted_and_its_owner_s(tmp_path: Path) -> None:
    private, public = generate(tmp_path)
    assert private.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (private, public, private.parent)] == [0o600, 0o644, 0o700]
    key = issuers.open_key(private, PASSPHRASE)
    assert key.public_key() == issuers.parse_public(public.read_bytes(), "public")


def test_a_key_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    private, public = generate(tmp_path)
    before = private.read_bytes()
    with pytest.raises(IssuerKeyError, match="there already"):
        generate(tmp_path)
    assert private.read_bytes() == before
    private.unlink()
    with pytest.raises(IssuerKeyError, match=str(public)):
        generate(tmp_path)


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IssuerKeyError, match="at least 8"):
        issuers.generate(tmp_path / "key", tmp_path / "public", b"short77")
    assert list(tmp_path.iterdir()) == []


def test_it_does_not_open_without_the_passphrase(tmp_path: Path) -> None:
    private, public = generate(tmp_path)
    for path, passphrase in ((private, b"wrong"), (private, b""), (public, PASSPHRASE)):
        with pytest.raises(IssuerKeyError, match="passphrase is wrong"):
            issuers.open_key(path, passphrase)
    with pytest.raises(IssuerKeyError, match="sra license keygen"):
        issuers.open_key(tmp_path / "none", PASSPHRASE)


def test_another_kind_of_key_signs_no_license(tmp_path: Path) -> None:
    key = generate_private_key(SECP256R1())
    (tmp_path / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(IssuerKeyError):
        issuers.open_key(tmp_path / "key", PASSPHRASE)
    with pytest.raises(IssuerKeyError, match="another kind"):
        issuers.parse_public(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "it")


@given(st.binary(max_size=200), st.sampled_from([b"", b"-----BEGIN PUBLIC KEY-----\n"]))
def test_garbage_is_no_key(data: bytes, head: bytes) -> None:
    with pytest.raises(IssuerKeyError, match="not a public key"):
        issuers.parse_public(head + data, "it")
