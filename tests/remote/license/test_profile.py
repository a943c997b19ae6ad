import plistlib
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs7
from hypothesis import example, given
from hypothesis import strategies as st

from sra.remote.license import profile
from sra.remote.license.profile import ProfileError, statements_in
from tests.remote.license.made import USUAL, profile_of

PROFILE = plistlib.loads(profile_of())

TEXT = b'<?xml version="1.0"?>\n<plist>' + b"x" * 5000


def profile_with(payload: Any) -> bytes:
    return plistlib.dumps({**PROFILE, "PayloadContent": [payload]})


def test_it_has_the_keys_that_macos_asks_of_a_system_profile() -> None:
    (payload,) = PROFILE["PayloadContent"]
    for part in (PROFILE, payload):
        assert (part["PayloadVersion"], uuid.UUID(part["PayloadUUID"]).version) == (1, 5)
        assert part["PayloadIdentifier"].startswith("com.secureremoteaccess.license")
        assert part["PayloadDisplayName"] == "Secure Remote Access: license"
    assert PROFILE["PayloadType"] == "Configuration"
    assert PROFILE["PayloadScope"] == "System"
    assert payload["PayloadType"] == "com.secureremoteaccess.license"
    assert payload["PayloadUUID"] != PROFILE["PayloadUUID"]


def test_a_new_license_is_the_same_profile_in_a_new_version() -> None:
    one, other = (plistlib.loads(profile.build("x", serial, "Ltd")) for serial in ("1", "2"))
    assert one["PayloadIdentifier"] == other["PayloadIdentifier"]
    assert one["PayloadUUID"] != other["PayloadUUID"]


def test_the_statement_comes_out_as_it_went_in() -> None:
    assert statements_in(profile.build("a.b.c", USUAL.serial, USUAL.licensee)) == ["a.b.c"]
    assert statements_in(plistlib.dumps(PROFILE, fmt=plistlib.FMT_BINARY)) == [PROFILE["PayloadContent"][0]["License"]]


def test_what_macos_leaves_of_a_profile_is_read_too() -> None:
    assert statements_in(plistlib.dumps({"License": "a.b.c"})) == ["a.b.c"]


def test_the_profile_of_another_product_has_no_license() -> None:
    assert statements_in(profile_with({"PayloadType": "com.apple.security.smartcard", "License": "a.b.c"})) == []


@pytest.mark.parametrize(
    "data",
    [
        b"", b"text", b"<plist>", b"<?xml version='1.0'?><plist><array/></plist>", b"bplist00" + b"\0" * 40,
        plistlib.dumps({}), plistlib.dumps([1]), plistlib.dumps({**PROFILE, "PayloadType": "Other"}),
        plistlib.dumps({"PayloadType": "Configuration"}), plistlib.dumps({**PROFILE, "PayloadContent": 5}),
        profile_with(5), profile_with({}), profile_with({"PayloadType": profile.PAYLOAD_TYPE}),
        profile_with({"PayloadType": profile.PAYLOAD_TYPE, "License": 5}), plistlib.dumps({"License": [b""]}),
        b'<!DOCTYPE d [<!ENTITY a "a">]><plist><dict><key>License</key><string>&a;</string></dict></plist>',
        b"<plist>" + b"<array>" * 20_000,
    ],
)  # fmt: skip
def test_what_is_no_profile_is_an_error(data: bytes) -> None:
    with pytest.raises(ProfileError, match="not a configuration profile"):
        statements_in(data)


@given(st.binary(max_size=300), st.sampled_from([b"", b"bplist00", b"<?xml version='1.0'?><plist>", b"0\x82"]))
def test_garbage_is_an_error(tail: bytes, head: bytes) -> None:
    with pytest.raises(ProfileError):
        statements_in(head + tail)


@given(st.integers(0, len(profile_of()) - 1), st.binary(min_size=1, max_size=4))
def test_a_damaged_profile_is_an_error_or_still_has_text(position: int, damage: bytes) -> None:
    data = profile_of()
    try:
        found = statements_in(data[:position] + damage + data[position + 1 :])
    except ProfileError:
        return
    assert all(isinstance(text, str) for text in found)


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
    assert profile.unwrap(signed(signer, *options)) == TEXT


def test_what_is_signed_by_certificate_is_unwrapped(signer: Path) -> None:
    key = load_pem_private_key((signer / "key").read_bytes(), None)
    certificate = x509.load_pem_x509_certificate((signer / "cert").read_bytes())
    builder = pkcs7.PKCS7SignatureBuilder().set_data(TEXT)
    envelope = builder.add_signer(certificate, key, hashes.SHA256()).sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])  # type: ignore[arg-type]
    assert profile.unwrap(envelope) == TEXT


def test_pieces_in_indefinite_lengths_are_joined() -> None:
    """As macOS's tools write it: everything indefinite, the content in several octet strings."""
    content = b"\xa0\x80\x24\x80\x04\x03abc\x04\x02de\0\0\0\0"
    inner = b"\x02\x01\x01\x31\x00\x30\x80\x06\x01\x2a" + content + b"\0\0\x31\x00"
    assert profile.unwrap(b"\x30\x80\x06\x01\x2a\xa0\x80\x30\x80" + inner + b"\0\0\0\0\0\0") == b"abcde"


def test_what_is_no_envelope_stays_as_it_is() -> None:
    assert profile.unwrap(TEXT) == TEXT
    assert profile.unwrap(b"") == b""


def test_an_envelope_cut_short_anywhere_is_an_error(signer: Path) -> None:
    whole = signed(signer, "-outform", "DER", "-nocerts")
    for length in range(1, len(TEXT), 7):
        with pytest.raises(ValueError, match=r"envelope|signed profile|holds no"):
            profile.unwrap(whole[:length])


@given(st.binary(max_size=200))
@example(b"0\x80" * 1000)
@example(b"\x24\x80" * 100)
@example(b"\xff\xff\xff\xff\xff\xff\xff")
@example(b"\x80" * 50)
@example(b"\x84\xff\xff\xff\xff")
def test_garbage_is_a_value_error_or_nothing(tail: bytes) -> None:
    for data in (b"\x30" + tail, b"\x30\x80\x06\x01\x2a\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80" + tail):
        with suppress(ValueError):
            assert isinstance(profile.unwrap(data), bytes)


@given(st.binary(max_size=200))
def test_garbage_in_pem_is_a_value_error(body: bytes) -> None:
    for data in (b"-----BEGIN CMS-----\n" + body, b"-----BEGIN CMS-----\n" + body + b"\n-----END CMS-----\n"):
        with suppress(ValueError):
            assert isinstance(profile.unwrap(data), bytes)
