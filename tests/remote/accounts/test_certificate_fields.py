from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import RefusedError
from sra.piv import tlv
from sra.remote.accounts.certificate_fields import FIELDS, MAX_VALUE, PRINCIPAL_NAME, FieldMissingError, read_field
from tests.remote.accounts.issuing import Attributes, Authority, principal

AUTHORITY = Authority()
UPN = "NT Principal Name"
PRINTABLE_STRING = 0x13
BMP_STRING = 0x1E


def read(name: str, names: Sequence[x509.GeneralName] = (), subject: Attributes = ()) -> str:
    return read_field(AUTHORITY.issue(subject, names).card, name)


def problem(name: str, names: Sequence[x509.GeneralName] = (), subject: Attributes = ()) -> str:
    with pytest.raises(FieldMissingError) as caught:
        read(name, names, subject)
    return str(caught.value)


def other_name(value: bytes, oid: ObjectIdentifier = PRINCIPAL_NAME) -> x509.OtherName:
    return x509.OtherName(oid, value)


def test_every_field_of_macos_is_read() -> None:
    card = AUTHORITY.issue(
        [
            (NameOID.COUNTRY_NAME, "CH"),
            (NameOID.ORGANIZATION_NAME, "Example"),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, "first"),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, "second"),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, "third"),
            (NameOID.COMMON_NAME, "Alice Müller"),
        ],
        [x509.RFC822Name("alice@example.com"), principal("alice@EXAMPLE.COM")],
    ).card
    assert {name: read_field(card, name) for name in FIELDS} == {
        "Common Name": "Alice Müller",
        "OrganizationalUnit:1": "first",
        "OrganizationalUnit:2": "second",
        "OrganizationalUnit:3": "third",
        "Organization": "Example",
        "Country": "CH",
        "RFC 822 Name": "alice@example.com",
        "NT Principal Name": "alice@EXAMPLE.COM",
    }


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_not_there_is_missing(name: str) -> None:
    assert problem(name) == f"the certificate has no {name}"
    assert problem(name, [x509.DNSName("alice")]) == f"the certificate has no {name}"


def test_a_mail_address_in_the_subject_is_not_the_rfc_822_name() -> None:
    assert "no RFC 822 Name" in problem("RFC 822 Name", subject=[(NameOID.EMAIL_ADDRESS, "alice@example.com")])


def test_two_different_values_are_no_value() -> None:
    assert "2 different values" in problem(UPN, [principal("alice@example.com"), principal("root@example.com")])
    assert "2 different values" in problem("RFC 822 Name", [x509.RFC822Name("a@b.c"), x509.RFC822Name("d@b.c")])
    assert "2 different" in problem(
        "Common Name", subject=[(NameOID.COMMON_NAME, "Users"), (NameOID.COMMON_NAME, "Alice")]
    )
    assert read(UPN, [principal("alice@example.com")] * 2) == "alice@example.com"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"alice",
        tlv.encode(PRINTABLE_STRING, b"alice@example.com"),
        tlv.encode(BMP_STRING, "alice@example.com".encode("utf-16-be")),
        tlv.encode(0x0C, b"\xff\xfe"),
        tlv.encode(0x0C, b"alice") + b"\x00",
        tlv.encode(0x0C, b"alice") * 2,
        tlv.encode(0x0C, b"alice@example.com")[:-1],
        tlv.encode(0x30, tlv.encode(0x0C, b"alice@example.com")),
        b"\x0c\x80alice\x00\x00",
    ],
)
def test_a_principal_name_that_is_no_utf8_string_is_not_guessed_at(value: bytes) -> None:
    try:
        card = AUTHORITY.issue((), [other_name(value)]).card
    except ValueError:
        raw = tlv.encode(0x30, tlv.encode(0xA0, bytes.fromhex("060a2b060104018237140203") + tlv.encode(0xA0, value)))
        with pytest.raises(RefusedError, match="extensions can't be read"):
            _ = AUTHORITY.issue((), raw_names=raw).card
        return
    with pytest.raises(FieldMissingError, match=r"can't be read"):
        read_field(card, UPN)


def test_one_principal_name_that_can_not_be_read_spoils_the_good_one() -> None:
    assert "can't be read" in problem(UPN, [principal("alice@example.com"), other_name(tlv.encode(0x13, b"x"))])


def test_other_names_of_another_kind_are_left_alone() -> None:
    kerberos = ObjectIdentifier("1.3.6.1.5.2.2")
    assert read(UPN, [other_name(tlv.encode(0x13, b"x"), kerberos), principal("alice")]) == "alice"


@pytest.mark.parametrize("raw", [b"", b"\x30", b"\x30\x03\x02\x01", b"\x30\x02\xa3\x00", b"\xff" * 40])
def test_alternative_names_that_are_garbage_can_not_be_read(raw: bytes) -> None:
    with pytest.raises(RefusedError, match="extensions can't be read"):
        _ = AUTHORITY.issue((), raw_names=raw).card


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "a\x1b[2Jb", "alice\u202emoc", "a\u200bb", "\x7f", "a\ud7ff\ue000"])
def test_characters_that_nobody_sees_are_not_accepted(text: str) -> None:
    assert "can't be printed" in problem(UPN, [principal(text)])


def test_an_empty_value_is_missing() -> None:
    assert "no NT Principal Name" in problem(UPN, [principal("")])


def test_a_long_value_is_not_accepted() -> None:
    assert read(UPN, [principal("a" * MAX_VALUE)]) == "a" * MAX_VALUE
    assert "longer than" in problem(UPN, [principal("a" * (MAX_VALUE + 1))])


@pytest.mark.parametrize("text", ["$2", "alice$1@example.com", "$9"])
def test_a_value_can_not_pull_in_another_field(text: str) -> None:
    assert "format string" in problem(UPN, [principal(text)])
    assert read(UPN, [principal("al$ice")]) == "al$ice"


@pytest.mark.parametrize("text", ["*", "*)(uid=*", "alice)(|(uid=*", "a\\2a", "(", "Kerberos:x,y=z"])
def test_what_means_something_in_a_query_is_only_text_here(text: str) -> None:
    assert read(UPN, [principal(text)]) == text


@given(st.binary(max_size=80))
def test_no_bytes_of_a_principal_name_break_the_reader(value: bytes) -> None:
    try:
        card = AUTHORITY.issue((), [other_name(value)]).card
    except ValueError:
        return
    try:
        text = read_field(card, UPN)
    except FieldMissingError:
        return
    assert tlv.unwrap(0x0C, value).decode() == text
