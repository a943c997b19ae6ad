"""The names in a certificate that a mapping can use, by macOS's names for them. No I/O.

A name is used only if the certificate has exactly one such name, and no part of it has a special meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from sra.errors import UsageError
from sra.identity.certificates import CardCertificate
from sra.piv import tlv

MAX_VALUE = 512
"""Characters of a name: a mail address has at most 320, a principal name seldom more than 100."""

PRINCIPAL_NAME = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
"""Microsoft's user principal name, an otherName whose value is a UTF8String."""

_UTF8_STRING = 0x0C
_PLACEHOLDER = re.compile(r"\$[0-9]")

_Names = Callable[[x509.Certificate], list[str]]


class FieldMissingError(UsageError):
    """The certificate has no usable name of this kind; the text says why."""


def read_field(card: CardCertificate, name: str) -> str:
    """The certificate's value of this field (a key of ``FIELDS``); raise ``FieldMissingError`` if it is not usable."""
    certificate = x509.load_der_x509_certificate(card.der)
    try:
        values = list(dict.fromkeys(FIELDS[name](certificate)))
    except (ValueError, TypeError, x509.UnsupportedGeneralNameType, x509.DuplicateExtension) as error:
        raise FieldMissingError(f"the certificate's {name} can't be read") from error
    if len(values) > 1:
        raise FieldMissingError(f"the certificate has {len(values)} different values of {name}")
    if not values or not values[0]:
        raise FieldMissingError(f"the certificate has no {name}")
    value = values[0]
    if len(value) > MAX_VALUE:
        raise FieldMissingError(f"the certificate's {name} is longer than {MAX_VALUE} characters")
    if not value.isprintable():
        raise FieldMissingError(f"the certificate's {name} has a character that can't be printed")
    if _PLACEHOLDER.search(value):
        raise FieldMissingError(f"the certificate's {name} looks like a format string")
    return value


def _in_subject(oid: ObjectIdentifier) -> _Names:
    return lambda certificate: [str(each.value) for each in certificate.subject.get_attributes_for_oid(oid)]


def _unit(position: int) -> _Names:
    """The organizational unit at this position, counted from 0, in the order of the certificate."""
    units = _in_subject(NameOID.ORGANIZATIONAL_UNIT_NAME)
    return lambda certificate: units(certificate)[position : position + 1]


def _mails(certificate: x509.Certificate) -> list[str]:
    names = _alternative_names(certificate)
    return names.get_values_for_type(x509.RFC822Name) if names else []


def _principals(certificate: x509.Certificate) -> list[str]:
    names = _alternative_names(certificate)
    others = names.get_values_for_type(x509.OtherName) if names else []
    return [_utf8(other.value) for other in others if other.type_id == PRINCIPAL_NAME]


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _utf8(der: bytes) -> str:
    """The text of a DER UTF8String; raise ``ValueError`` for anything else."""
    try:
        return tlv.unwrap(_UTF8_STRING, der).decode()
    except tlv.TlvError as error:
        raise ValueError("not a UTF8String") from error


FIELDS: dict[str, _Names] = {
    "Common Name": _in_subject(NameOID.COMMON_NAME),
    "OrganizationalUnit:1": _unit(0),
    "OrganizationalUnit:2": _unit(1),
    "OrganizationalUnit:3": _unit(2),
    "Organization": _in_subject(NameOID.ORGANIZATION_NAME),
    "Country": _in_subject(NameOID.COUNTRY_NAME),
    "RFC 822 Name": _mails,
    "NT Principal Name": _principals,
}
"""macOS's name of a field (SmartCardServices(7)) -> its values in a certificate."""
