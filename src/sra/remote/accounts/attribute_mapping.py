"""``SmartcardLogin.plist``: which value an account's attribute must have, made of the names in a certificate.

The keys, the field names and their meaning are those of macOS (SmartCardServices(7)). A value
that can't be understood is an error, never ignored, since this file says who gets in. No I/O.
"""

from __future__ import annotations

import logging
import plistlib
import re
from dataclasses import dataclass
from xml.parsers.expat import ExpatError

import msgspec

from sra.errors import UsageError
from sra.identity.certificates import CardCertificate
from sra.logs import clean
from sra.remote.accounts.certificate_fields import FIELDS, FieldMissingError, read_field

MAX_FILE = 64 * 1024
"""Bytes of the file: with a hundred authorities it has 10 KiB."""

MAX_FIELDS = 9
"""Fields of a mapping: there are eight names, and ``$10`` would be read as ``$1`` and a zero."""

log = logging.getLogger("sra.accounts")

_FORMATS = (b"<?xml", b"<!DOCTYPE", b"<plist", b"bplist00")

_SHA256 = re.compile(r"[0-9a-f]{64}")

_MALFORMED = (ValueError, ExpatError, RecursionError, OverflowError, TypeError, AttributeError, LookupError)
"""What plistlib raises for damaged files; ``InvalidFileException`` is a ``ValueError``."""

STANDARD = {
    "AltSecurityIdentities": "altSecurityIdentities",
    "EMailAddress": "mail",
    "FirstName": "givenName",
    "LastName": "sn",
    "RealName": "cn",
    "RecordName": "uid",
    "UniqueID": "uidNumber",
}
"""After ``dsAttrTypeStandard:`` -> its name in LDAP (DirectoryService(8), RFC 2307, RFC 4519)."""

_STANDARD_PREFIX = "dsAttrTypeStandard:"

_NATIVE_PREFIX = "dsAttrTypeNative:"

_LDAP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")


class AttributeMapping(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"format_string": "formatString", "attribute": "dsAttributeString"},
):
    """Put ``fields`` of the certificate into ``format_string`` and find the account whose ``attribute`` has that value.

    ``attribute`` is converted to its LDAP name.
    """

    fields: tuple[str, ...]
    format_string: str
    attribute: str

    def __post_init__(self) -> None:
        """Refuse a mapping that would match no card, or every card (``ValueError``, as the decoder needs)."""
        unknown = [name for name in self.fields if name not in FIELDS]
        if unknown:
            raise ValueError(f"“{clean(unknown[0])}” is not a field. The fields are: {', '.join(FIELDS)}")
        if not 1 <= len(self.fields) <= MAX_FIELDS:
            raise ValueError(f"a mapping has 1 to {MAX_FIELDS} fields")
        if not self.format_string.isprintable():
            raise ValueError("formatString has a character that can't be printed")
        if not any(placeholder in self.format_string for placeholder in _placeholders(self.fields)):
            raise ValueError("formatString uses no field ($1, $2, …), so all cards would be the same")
        try:
            msgspec.structs.force_setattr(self, "attribute", ldap_name(self.attribute))
        except UsageError as error:
            raise ValueError(str(error)) from error


class SmartcardLogin(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={
        "mapping": "AttributeMapping",
        "authorities": "TrustedAuthorities",
        "exempt_group": "NotEnforcedGroup",
    },
):
    """The whole file.

    ``authorities``: the SHA-256 (small hex) of the authorities, one of which has to vouch for every card; ``None``
    without the key. ``exempt_group`` is accepted, since macOS's files have it, but has no effect here.
    """

    mapping: AttributeMapping | None = None
    authorities: tuple[str, ...] | None = None
    exempt_group: str = ""

    def __post_init__(self) -> None:
        """Normalise the authorities' hashes (``ValueError`` if they are none)."""
        if self.authorities is not None:
            msgspec.structs.force_setattr(self, "authorities", _hashes(self.authorities))


@dataclass(frozen=True)
class WantedValue:
    """The value that an account's attribute must have; ``missing``: why there is none, so that no account matches."""

    attribute: str
    value: str
    missing: tuple[str, ...] = ()


NOTHING = SmartcardLogin()
"""The settings without a file: no mapping, and no restriction."""


def decode(data: bytes | None) -> SmartcardLogin:
    """The decoded file (``None``: there is no file); raise ``UsageError`` if it is damaged."""
    if data is None:
        return NOTHING
    try:
        if not data.lstrip().startswith(_FORMATS):
            raise ValueError("it has to be XML or binary")
        content = plistlib.loads(data)
    except _MALFORMED as error:
        raise UsageError(
            f"this is not a property list: {clean(str(error))}. Correct it: until then nobody gets in."
        ) from error
    try:
        return msgspec.convert(content, SmartcardLogin)
    except (msgspec.ValidationError, RecursionError) as error:
        raise UsageError(f"{clean(str(error), 512)}. Correct it: until then nobody gets in.") from error


def wanted_value(mapping: AttributeMapping, card: CardCertificate) -> WantedValue:
    """The wanted value: every ``$i`` is replaced by field i, from 1, in order.

    If the certificate lacks a field, its ``$i`` stays in the value, and ``missing`` names the field.
    """
    value = mapping.format_string
    missing: list[str] = []
    for placeholder, name in zip(_placeholders(mapping.fields), mapping.fields, strict=True):
        if placeholder not in value:
            continue
        try:
            value = value.replace(placeholder, read_field(card, name))
        except FieldMissingError as error:
            missing.append(str(error))
    return WantedValue(mapping.attribute, value, tuple(missing))


def _placeholders(fields: tuple[str, ...]) -> list[str]:
    return [f"${number}" for number in range(1, len(fields) + 1)]


def _hashes(listed: tuple[str, ...]) -> tuple[str, ...]:
    """The single hashes: macOS's examples have several in one string, with commas.

    A wrong hash is left out; if none is right, the file is refused.
    """
    hashes = [part.strip().replace(":", "").lower() for text in listed for part in text.split(",")]
    wrong = [text for text in hashes if not _SHA256.fullmatch(text)]
    right = tuple(text for text in hashes if text not in wrong)
    if not right:
        said = f"“{clean(wrong[0])}” is not the SHA-256 of an authority" if wrong else "no authority is listed"
        raise ValueError(f"TrustedAuthorities: {said}")
    for text in wrong:
        log.warning("TrustedAuthorities: “%s” is not the SHA-256 of an authority, and is not used", clean(text))
    return right


def ldap_name(text: str) -> str:
    """The LDAP name of an attribute, from its name in macOS or in LDAP; raise ``UsageError`` for others."""
    if text.startswith(_STANDARD_PREFIX):
        name = STANDARD.get(text.removeprefix(_STANDARD_PREFIX))
        if name is None:
            known = ", ".join(STANDARD)
            raise UsageError(f"“{clean(text)}” is not a known attribute: {_STANDARD_PREFIX} has {known}")
        return name
    name = text.removeprefix(_NATIVE_PREFIX)
    if not _LDAP_NAME.fullmatch(name):
        raise UsageError(f"“{clean(text)}” can't be the name of an attribute")
    return name
