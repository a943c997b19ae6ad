"""The LDAP messages that are needed to find an account (RFC 4511): encoded, and decoded strictly. No I/O.

A search asks for exact equality, and the value is sent in an element of its own: there is no filter text (RFC 4515) in
which a value could mean something else, so nothing has to be escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sra.errors import SraError
from sra.logs import clean
from sra.piv import tlv

MAX_MESSAGE = 1024 * 1024
"""Bytes of one message: an entry with 64 certificates of 16 KiB, far more than an account has."""

MAX_ELEMENTS = 4096
"""Elements side by side: values of an attribute."""

LENGTH_BYTES = 4
"""Bytes of the longest length that is read: Active Directory always writes four."""

START_TLS = b"1.3.6.1.4.1.1466.20037"
"""RFC 4511, 4.14.1."""

_LONG_FORM = 0x80
_SEQUENCE = 0x30
_INTEGER = 0x02
_BOOLEAN = 0x01
_OCTETS = 0x04
_ENUMERATED = 0x0A
_SET = 0x31

_BIND = 0x60
_SEARCH = 0x63
_EXTENDED = 0x77
_SIMPLE_PASSWORD = 0x80
_EXTENDED_NAME = 0x80
_ANY_OF = 0xA1
_EQUALITY = 0xA3

_ENTRY = 0x64
_REFERENCE = 0x73
_RESULTS = {0x61: "bind", 0x65: "search", 0x78: "extended"}
"""Tag of an answer that ends an operation -> the operation."""

_VERSION = 3
_WHOLE_SUBTREE = 2
_NEVER = 0


class LdapFormatError(SraError):
    """The bytes are no LDAP message, or none that answers the request."""


@dataclass(frozen=True)
class Result:
    """The end of an operation: ``code`` is 0 for success (RFC 4511, appendix A)."""

    operation: str
    code: int
    text: str


@dataclass(frozen=True)
class LdapEntry:
    """An entry that was found; attributes are in small letters and without their options (``;binary``)."""

    name: str
    attributes: Mapping[str, tuple[bytes, ...]]


@dataclass(frozen=True)
class Reference:
    """The server refers to another server; such referrals are not followed."""


LdapAnswer = Result | LdapEntry | Reference


@dataclass(frozen=True)
class Search:
    """Entries below ``base`` for which ``condition`` holds; at most ``size`` of them, within ``seconds``."""

    base: str
    condition: bytes
    attributes: Sequence[str]
    size: int
    seconds: int


def equal(attribute: str, value: bytes) -> bytes:
    """The condition that an attribute has this value."""
    return tlv.encode(_EQUALITY, tlv.encode(_OCTETS, attribute.encode()) + tlv.encode(_OCTETS, value))


def any_of(*conditions: bytes) -> bytes:
    """The condition that one of these holds."""
    return tlv.encode(_ANY_OF, b"".join(conditions))


def start_tls(number: int) -> bytes:
    """The request to continue in TLS."""
    return _message(number, tlv.encode(_EXTENDED, tlv.encode(_EXTENDED_NAME, START_TLS)))


def bind(number: int, name: str, password: bytes) -> bytes:
    """The request to authenticate as ``name``."""
    credentials = tlv.encode(_OCTETS, name.encode()) + tlv.encode(_SIMPLE_PASSWORD, password)
    return _message(number, tlv.encode(_BIND, _integer(_INTEGER, _VERSION) + credentials))


def search(number: int, wanted: Search) -> bytes:
    """The request to search."""
    parts = [
        tlv.encode(_OCTETS, wanted.base.encode()),
        _integer(_ENUMERATED, _WHOLE_SUBTREE),
        _integer(_ENUMERATED, _NEVER),
        _integer(_INTEGER, wanted.size),
        _integer(_INTEGER, wanted.seconds),
        tlv.encode(_BOOLEAN, b"\x00"),
        wanted.condition,
        tlv.encode(_SEQUENCE, b"".join(tlv.encode(_OCTETS, name.encode()) for name in wanted.attributes)),
    ]
    return _message(number, tlv.encode(_SEARCH, b"".join(parts)))


def length_of_length(start: bytes) -> int:
    """How many bytes follow the first two of a message until its length is known; raise ``LdapFormatError``."""
    if start[0] != _SEQUENCE:
        raise LdapFormatError("this is no LDAP message")
    more = start[1] & ~_LONG_FORM if start[1] & _LONG_FORM else 0
    if more > LENGTH_BYTES or start[1] == _LONG_FORM:
        raise LdapFormatError("a message of an invalid length")
    return more


def length_of_body(start: bytes) -> int:
    """How many bytes follow those that ``length_of_length`` asked for; raise ``LdapFormatError`` if too many."""
    length = int.from_bytes(start[2:]) if start[1] & _LONG_FORM else start[1]
    if length > MAX_MESSAGE:
        raise LdapFormatError(f"a message of {length} bytes; at most {MAX_MESSAGE} are read")
    return length


def decode(body: bytes, number: int) -> LdapAnswer:
    """The answer to request ``number`` in the body of a message; raise ``LdapFormatError`` for anything else."""
    parts = _elements(body)
    if len(parts) < 2 or parts[0][0] != _INTEGER:
        raise LdapFormatError("a message without a number or without content")
    said = int.from_bytes(parts[0][1], signed=True)
    tag, content = parts[1]
    if said != number:
        raise LdapFormatError(f"an answer to request {said} instead of {number}")
    if tag == _REFERENCE:
        return Reference()
    if tag == _ENTRY:
        return _entry(content)
    if tag in _RESULTS:
        return _result(_RESULTS[tag], content)
    raise LdapFormatError(f"a message of an unexpected kind ({tag:#x})")


def _result(operation: str, content: bytes) -> Result:
    parts = _elements(content)
    if [tag for tag, _ in parts[:3]] != [_ENUMERATED, _OCTETS, _OCTETS]:
        raise LdapFormatError("a result without code or text")
    return Result(operation, int.from_bytes(parts[0][1]), clean(parts[2][1].decode(errors="replace")))


def _entry(content: bytes) -> LdapEntry:
    name, attributes = _exactly(content, _OCTETS, _SEQUENCE)
    found: dict[str, tuple[bytes, ...]] = {}
    for tag, attribute in _elements(attributes):
        if tag != _SEQUENCE:
            raise LdapFormatError("an attribute of an unknown form")
        kind, values = _exactly(attribute, _OCTETS, _SET)
        key = kind.decode(errors="replace").partition(";")[0].lower()
        found[key] = found.get(key, ()) + tuple(value for _, value in _elements(values))
    return LdapEntry(clean(name.decode(errors="replace")), found)


def _exactly(content: bytes, *tags: int) -> list[bytes]:
    """The values of the elements in ``content``, which have to have these tags."""
    parts = _elements(content)
    if tuple(tag for tag, _ in parts) != tags:
        raise LdapFormatError("an entry of an unknown form")
    return [value for _, value in parts]


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """The elements that ``data`` consists of, each with its tag."""
    try:
        return [(each.tag, each.value) for each in tlv.parse(data, MAX_ELEMENTS, LENGTH_BYTES)]
    except tlv.TlvError as error:
        raise LdapFormatError(f"elements that are cut short, or too many of them: {error}") from error


def _message(number: int, operation: bytes) -> bytes:
    return tlv.encode(_SEQUENCE, _integer(_INTEGER, number) + operation)


def _integer(tag: int, value: int) -> bytes:
    return tlv.encode(tag, value.to_bytes(value.bit_length() // 8 + 1, signed=True))
