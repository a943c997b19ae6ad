import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs7
from hypothesis import example, given
from hypothesis import strategies as st

from sra.remote.license import cms

TEXT = b'<?xml version="1.0"?>\n<plist>' + b"x" * 5000


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signer")
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(
        [*request, "-subj", "/CN=MDM", "-keyout", "key", "-out", "cert"], cwd=folder, capture_output=True, check=True
    )
    (folder / "text").write_bytes(TEXT)
    return folder


def signed(folder: Path, *options: str) -> bytes:
    command = [
        "openssl",
        "cms",
        "-sign",
        "-nodetach",
        "-binary",
        "-in",
        "text",
        "-signer",
        "cert",
        "-inkey",
        "key",
        *options,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout


@pytest.mark.parametrize("options", [["-outform", "DER"], ["-outform", "DER", "-stream"], ["-outform", "PEM"]])
def test_what_openssl_signed_is_unwrapped(signer: Path, options: list[str]) -> None:
    assert cms.unwrap(signed(signer, *options)) == TEXT


def test_what_is_signed_by_certificate_is_unwrapped(signer: Path) -> None:
    key = load_pem_private_key((signer / "key").read_bytes(), None)
    certificate = x509.load_pem_x509_certificate((signer / "cert").read_bytes())
    builder = pkcs7.PKCS7SignatureBuilder().set_data(TEXT)
    envelope = builder.add_signer(certificate, key, hashes.SHA256()).sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])  # type: ignore[arg-type]
    assert cms.unwrap(envelope) == TEXT


def test_pieces_in_indefinite_lengths_are_joined() -> None:
    """As macOS's tools write it: everything indefinite, the content in several octet strings."""
    content = b"\xa0\x80\x24\x80\x04\x03abc\x04\x02de\0\0\0\0"
    inner = b"\x02\x01\x01\x31\x00\x30\x80\x06\x01\x2a" + content + b"\0\0\x31\x00"
    assert cms.unwrap(b"\x30\x80\x06\x01\x2a\xa0\x80\x30\x80" + inner + b"\0\0\0\0\0\0") == b"abcde"


def test_what_is_no_envelope_stays_as_it_is() -> None:
    assert cms.unwrap(TEXT) == TEXT
    assert cms.unwrap(b"") == b""


def test_an_envelope_cut_short_anywhere_is_an_error(signer: Path) -> None:
    whole = signed(signer, "-outform", "DER", "-nocerts")
    for length in range(1, len(TEXT), 7):
        with pytest.raises(ValueError, match=r"envelope|signed profile|holds no"):
            cms.unwrap(whole[:length])


@given(st.binary(max_size=200))
@example(b"0\x80" * 1000)
@example(b"\x24\x80" * 100)
@example(b"\xff\xff\xff\xff\xff\xff\xff")
@example(b"\x80" * 50)
@example(b"\x84\xff\xff\xff\xff")
def test_garbage_is_a_value_error_or_nothing(tail: bytes) -> None:
    for data in (b"\x30" + tail, b"\x30\x80\x06\x01\x2a\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80" + tail):
        with suppress(ValueError):
            assert isinstance(cms.unwrap(data), bytes)


@given(st.binary(max_size=200))
def test_garbage_in_pem_is_a_value_error(body: bytes) -> None:
    for data in (b"-----BEGIN CMS-----\n" + body, b"-----BEGIN CMS-----\n" + body + b"\n-----END CMS-----\n"):
        with suppress(ValueError):
            assert isinstance(cms.unwrap(data), bytes)
