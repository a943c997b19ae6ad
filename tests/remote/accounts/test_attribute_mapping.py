import contextlib
import plistlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import UsageError
from sra.remote.accounts.attribute_mapping import (
    NOTHING,
    STANDARD,
    AttributeMapping,
    SmartcardLogin,
    decode,
    ldap_name,
    wanted_value,
)
from tests.remote.accounts.issuing import Authority, principal

AUTHORITY = Authority()

MAPPING: dict[str, Any] = {
    "fields": ["NT Principal Name"],
    "formatString": "Kerberos:$1",
    "dsAttributeString": "dsAttrTypeStandard:AltSecurityIdentities",
}

HASH = "ab" * 32


def read(**content: object) -> SmartcardLogin:
    return decode(plistlib.dumps(content))


def mapping(**changes: object) -> AttributeMapping:
    found = read(AttributeMapping={**MAPPING, **changes}).mapping
    assert found is not None
    return found


def refused(data: bytes) -> str:
    with pytest.raises(UsageError, match="until then nobody gets in") as caught:
        decode(data)
    return str(caught.value)


@pytest.mark.parametrize("form", [plistlib.FMT_XML, plistlib.FMT_BINARY])
def test_apples_own_example_is_read_in_both_forms(form: plistlib.PlistFormat) -> None:
    content = {"AttributeMapping": MAPPING, "TrustedAuthorities": [HASH], "NotEnforcedGroup": "EXEMPTGROUP"}
    assert decode(plistlib.dumps(content, fmt=form)) == SmartcardLogin(
        AttributeMapping(("NT Principal Name",), "Kerberos:$1", "altSecurityIdentities"), (HASH,), "EXEMPTGROUP"
    )


def test_without_a_file_or_a_mapping_nothing_is_mapped() -> None:
    assert decode(None) == NOTHING
    assert read() == NOTHING
    assert read(NotEnforcedGroup="staff").mapping is None


@pytest.mark.parametrize("listed", [[HASH, "cd" * 32], [f"{HASH},{'cd' * 32}"], [f"{HASH.upper()}, {'CD:' * 31}CD"]])
def test_authorities_may_be_written_in_several_ways(listed: list[str]) -> None:
    assert read(TrustedAuthorities=listed).authorities == (HASH, "cd" * 32)


@pytest.mark.parametrize("listed", [[], [""], ["abc"], ["," * 3], ["zz" * 32], [HASH[:40]]])
def test_authorities_that_are_no_hashes_are_refused(listed: list[str]) -> None:
    assert "TrustedAuthorities" in refused(plistlib.dumps({"TrustedAuthorities": listed}))


def test_one_authority_that_is_no_hash_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    assert read(TrustedAuthorities=["abc", HASH, f"{HASH[:40]},{'cd' * 32}"]).authorities == (HASH, "cd" * 32)
    assert "“abc” is not the SHA-256 of an authority" in caplog.text


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"AttributeMaping": MAPPING}, "AttributeMaping"),
        ({"AttributeMapping": {**MAPPING, "format": "$1"}}, "format"),
        ({"AttributeMapping": {"fields": ["Common Name"]}}, "formatString"),
        ({"AttributeMapping": {**MAPPING, "fields": ["Common name"]}}, "Common name"),
        ({"AttributeMapping": {**MAPPING, "fields": ["OrganizationalUnit:4"]}}, "OrganizationalUnit:4"),
        ({"AttributeMapping": {**MAPPING, "fields": []}}, "1 to 9 fields"),
        ({"AttributeMapping": {**MAPPING, "fields": ["Country"] * 10}}, "1 to 9 fields"),
        ({"AttributeMapping": {**MAPPING, "fields": "Common Name"}}, "fields"),
        ({"AttributeMapping": {**MAPPING, "formatString": "Kerberos:"}}, "uses no field"),
        ({"AttributeMapping": {**MAPPING, "formatString": "$2"}}, "uses no field"),
        ({"AttributeMapping": {**MAPPING, "formatString": "$1\n"}}, "can't be printed"),
        ({"AttributeMapping": {**MAPPING, "dsAttributeString": "dsAttrTypeStandard:Nonsense"}}, "Nonsense"),
        ({"AttributeMapping": {**MAPPING, "dsAttributeString": "uid=*"}}, "uid=*"),
        ({"AttributeMapping": [MAPPING]}, "AttributeMapping"),
        ({"TrustedAuthorities": HASH}, "TrustedAuthorities"),
        ({"NotEnforcedGroup": 7}, "NotEnforcedGroup"),
    ],
)
def test_what_is_not_understood_is_named_and_refused(content: dict[str, object], named: str) -> None:
    assert named in refused(plistlib.dumps(content))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[AttributeMapping]\n", b"bplist00", b"bplist00" + b"\xff" * 40, b"<?xml version='1.0'?>",
        b"<plist><dict><key>AttributeMapping</key></dict></plist>", b"<plist>" + b"<array>" * 5000,
        b'<!DOCTYPE x [<!ENTITY a "b">]><plist><string>&a;</string></plist>', b"<plist><dict>\xff</dict></plist>",
        plistlib.dumps([MAPPING]), plistlib.dumps("AttributeMapping"), b"{ fields = (one); }",
        plistlib.dumps({"AttributeMapping": MAPPING})[:-30],
    ],
)  # fmt: skip
def test_what_is_no_property_list_of_this_kind_is_refused(data: bytes) -> None:
    refused(data)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_no_damage_to_a_binary_list_breaks_the_reader(garbage: bytes, at: int) -> None:
    sound = plistlib.dumps({"AttributeMapping": MAPPING}, fmt=plistlib.FMT_BINARY)
    with contextlib.suppress(UsageError):
        decode(sound[:at] + garbage + sound[at + len(garbage) :])


def test_the_value_is_made_of_the_fields_in_order() -> None:
    card = AUTHORITY.issue(
        [(NameOID.ORGANIZATION_NAME, "Example"), (NameOID.COMMON_NAME, "Alice")], [principal("alice@EXAMPLE.COM")]
    ).card
    wanted = wanted_value(mapping(), card)
    assert (wanted.attribute, wanted.value, wanted.missing) == (
        "altSecurityIdentities",
        "Kerberos:alice@EXAMPLE.COM",
        (),
    )
    several = mapping(fields=["Common Name", "Organization"], formatString="$2/$1/$2 at $3 for $")
    assert wanted_value(several, card).value == "Example/Alice/Example at $3 for $"


def test_a_missing_field_leaves_its_placeholder_and_is_named() -> None:
    card = AUTHORITY.issue().card
    wanted = wanted_value(mapping(fields=["Common Name", "RFC 822 Name"], formatString="$1:$2"), card)
    assert wanted.value == "Alice:$2"
    assert wanted.missing == ("the certificate has no RFC 822 Name",)


def test_a_field_that_the_format_does_not_use_need_not_be_there() -> None:
    wanted = wanted_value(mapping(fields=["RFC 822 Name", "Common Name"], formatString="$2"), AUTHORITY.issue().card)
    assert (wanted.value, wanted.missing) == ("Alice", ())


def test_a_value_with_a_placeholder_is_not_filled_in() -> None:
    card = AUTHORITY.issue([(NameOID.COMMON_NAME, "$2")], [x509.RFC822Name("root@example.com")]).card
    wanted = wanted_value(mapping(fields=["Common Name", "RFC 822 Name"], formatString="$1"), card)
    assert wanted.value == "$1"
    assert len(wanted.missing) == 1


@pytest.mark.parametrize(("text", "name"), [(f"dsAttrTypeStandard:{key}", name) for key, name in STANDARD.items()])
def test_the_names_of_macos_are_translated(text: str, name: str) -> None:
    assert ldap_name(text) == name
    assert ldap_name(name) == name


def test_native_names_are_the_directorys_own() -> None:
    assert ldap_name("dsAttrTypeNative:userPrincipalName") == "userPrincipalName"
    assert ldap_name("userPrincipalName") == "userPrincipalName"


@pytest.mark.parametrize(
    "text",
    [
        "", "dsAttrTypeStandard:", "dsAttrTypeStandard:Password", "dsattrtypestandard:RecordName", "dsAttrTypeNative:",
        "uid=*", "uid)(objectClass=*", "uid;binary", "1uid", "uid ", "a" * 65, "dsAttrTypeNative:dsAttrTypeNative:uid",
    ],
)  # fmt: skip
def test_what_can_not_be_a_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        ldap_name(text)
