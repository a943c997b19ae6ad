import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import UsageError
from sra.identity.fingerprints import fingerprint, parse_fingerprint


def test_a_fingerprint_is_the_sha_256_in_one_word() -> None:
    shown = fingerprint(b"certificate")
    assert shown.startswith("SHA256:")
    assert shown.removeprefix("SHA256:").replace(":", "").lower() == hashlib.sha256(b"certificate").hexdigest()
    assert len(shown) == 102


@given(st.binary(max_size=64))
def test_what_a_person_types_may_lack_prefix_colons_and_capitals(certificate: bytes) -> None:
    shown = fingerprint(certificate)
    for typed in (shown, shown.lower(), shown.removeprefix("SHA256:"), shown.replace(":", ""), f"  {shown}\n"):
        assert parse_fingerprint(typed if typed != shown.replace(":", "") else typed.removeprefix("SHA256")) == shown


@pytest.mark.parametrize(
    "typed", ["", "SHA256:", "AB", "SHA256:" + "AB:" * 31 + "A", "MD5:" + "AB" * 32, "zz" * 32, "AB" * 33]
)
def test_anything_else_is_no_fingerprint(typed: str) -> None:
    with pytest.raises(UsageError, match="sra identity show"):
        parse_fingerprint(typed)


@given(st.text(max_size=200))
def test_any_text_is_a_fingerprint_or_a_clear_error(typed: str) -> None:
    outcome = parsed(typed)
    assert outcome.isprintable()
    assert outcome.startswith("SHA256:") or typed == "" or "“" in outcome


def parsed(typed: str) -> str:
    try:
        return parse_fingerprint(typed)
    except UsageError as error:
        return str(error)
