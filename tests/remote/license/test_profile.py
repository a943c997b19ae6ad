import plistlib
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.remote.license import profile
from sra.remote.license.profile import ProfileError, statements_in
from tests.remote.license.made import USUAL, profile_of

PROFILE = plistlib.loads(profile_of())


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
