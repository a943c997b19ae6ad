"""Certificates with a field that is odd or malformed, made byte by byte: no library would write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sra.piv import tlv

INTEGER, BIT_STRING, OCTETS, OID, UTF8, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x06, 0x0C, 0x30, 0x31
PRINTABLE, TELETEX, IA5, UTC_TIME, TIME, BMP, UNIVERSAL = 0x13, 0x14, 0x16, 0x17, 0x18, 0x1E, 0x1C
COMMON_NAME = bytes.fromhex("550403")
ECDSA = tlv.encode(SEQUENCE, tlv.encode(OID, bytes.fromhex("2a8648ce3d040302")))
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
NOW = datetime.now(UTC)


def moment(when: datetime, tag: int = UTC_TIME) -> bytes:
    return tlv.encode(tag, f"{when:%y%m%d%H%M%SZ}".encode() if tag == UTC_TIME else f"{when:%Y%m%d%H%M%SZ}".encode())


def name(value: bytes = b"ann", tag: int = UTF8) -> bytes:
    """A distinguished name of one common name."""
    attribute = tlv.encode(SEQUENCE, tlv.encode(OID, COMMON_NAME) + tlv.encode(tag, value))
    return tlv.encode(SEQUENCE, tlv.encode(SET, attribute))


def extension(identifier: str, value: bytes) -> bytes:
    return tlv.encode(SEQUENCE, tlv.encode(OID, bytes.fromhex(identifier)) + tlv.encode(OCTETS, value))


def names(*general: bytes) -> bytes:
    """A subject alternative name with these general names."""
    return extension("551d11", tlv.encode(SEQUENCE, b"".join(general)))


def certificate(
    *,
    version: bytes = b"\x02",
    serial: bytes = b"\x05",
    issuer: bytes = name(b"Authority"),
    subject: bytes = name(),
    start: bytes = moment(NOW - timedelta(days=1)),
    end: bytes = moment(NOW + timedelta(days=9)),
    public: bytes = PUBLIC,
    extensions: bytes = b"",
) -> bytes:
    """A certificate (DER) with these fields. Nobody looks at its signature: the paired key is what counts."""
    body = (
        tlv.encode(0xA0, tlv.encode(INTEGER, version)) + tlv.encode(INTEGER, serial) + ECDSA + issuer
        + tlv.encode(SEQUENCE, start + end) + subject + public
    )  # fmt: skip
    if extensions:
        body += tlv.encode(0xA3, tlv.encode(SEQUENCE, extensions))
    signed = tlv.encode(SEQUENCE, body)
    return tlv.encode(SEQUENCE, signed + ECDSA + tlv.encode(BIT_STRING, b"\x00" + KEY.sign(signed, ec.ECDSA(SHA256()))))


X400 = tlv.encode(0xA3, tlv.encode(SEQUENCE, b""))
EDI_PARTY = tlv.encode(0xA5, tlv.encode(0xA1, tlv.encode(UTF8, b"party")))
OTHER_GARBAGE = tlv.encode(0xA0, b"\xff\xff\xff")
PRINCIPAL = bytes.fromhex("060a2b060104018237140203")
MAIL = tlv.encode(0x81, b"ann@example.com")

REFUSED: dict[str, bytes] = {
    "issuer is invalid UTF-8": certificate(issuer=name(b"\xff\xfe")),
    "subject is invalid UTF-8": certificate(subject=name(b"\xc3\x28")),
    "issuer is Latin-1 in a TeletexString": certificate(issuer=name(b"\xfcber", TELETEX)),
    "issuer is half a BMPString": certificate(issuer=name(b"\x00a\x00", BMP)),
    "issuer is a lone surrogate": certificate(issuer=name(b"\xd8\x00", BMP)),
    "issuer is no name": certificate(issuer=tlv.encode(SEQUENCE, b"\x01\x02\x03")),
    "issuer is a number": certificate(issuer=tlv.encode(INTEGER, b"\x05")),
    "x400Address": certificate(extensions=names(X400)),
    "x400Address beside a mail address": certificate(extensions=names(MAIL, X400)),
    "ediPartyName": certificate(extensions=names(EDI_PARTY)),
    "otherName of garbage": certificate(extensions=names(OTHER_GARBAGE)),
    "x400Address of the issuer": certificate(extensions=extension("551d12", tlv.encode(SEQUENCE, X400))),
    "x400Address of a distribution point": certificate(
        extensions=extension(
            "551d1f",
            tlv.encode(SEQUENCE, tlv.encode(SEQUENCE, tlv.encode(0xA0, tlv.encode(0xA0, X400)))),
        )
    ),
    "mail address of invalid letters": certificate(extensions=names(tlv.encode(0x81, b"\xff@\xfe"))),
    "address of three bytes": certificate(extensions=names(tlv.encode(0x87, b"\x01\x02\x03"))),
    "two key usages": certificate(extensions=extension("551d0f", b"\x03\x02\x07\x80") * 2),
    "two alternative names": certificate(extensions=names(MAIL) * 2),
    "key usage of garbage": certificate(extensions=extension("551d0f", b"\xff")),
    "extended key usage of garbage": certificate(extensions=extension("551d25", b"\x30\x05\x06")),
    "policies of garbage": certificate(extensions=extension("551d20", b"\x30\x03\x02\x01")),
    "negative serial number": certificate(serial=b"\xff"),
    "serial number zero": certificate(serial=b"\x00"),
    "serial number of 21 bytes": certificate(serial=b"\x01" * 21),
    "serial number of 4 KiB": certificate(serial=b"\x7f" * 4096),
    "month 13": certificate(start=tlv.encode(UTC_TIME, b"261301000000Z")),
    "30 February": certificate(end=tlv.encode(UTC_TIME, b"280230000000Z")),
    "no date": certificate(end=tlv.encode(UTF8, b"tomorrow")),
    "year of five digits": certificate(end=tlv.encode(TIME, b"120001010000Z")),
    "version 4711": certificate(version=b"\x12\x67"),
    "public key of garbage": certificate(public=tlv.encode(SEQUENCE, b"\x01\x02")),
    "subject of 20 KiB": certificate(subject=name(b"a" * 20480)),
    "nothing": b"",
    "cut short": certificate()[:-9],
    "a byte too long": certificate() + b"\x00",
}
"""What it is -> a certificate that has to be refused at the door."""

ODD: dict[str, bytes] = {
    "plain": certificate(),
    "empty issuer": certificate(issuer=tlv.encode(SEQUENCE, b"")),
    "empty subject": certificate(subject=tlv.encode(SEQUENCE, b"")),
    "empty names": certificate(issuer=tlv.encode(SEQUENCE, b""), subject=tlv.encode(SEQUENCE, b"")),
    "issuer is an empty text": certificate(issuer=name(b"")),
    "BMPString": certificate(issuer=name("Jürgen".encode("utf-16-be"), BMP)),
    "UniversalString": certificate(issuer=name("Jürgen".encode("utf-32-be"), UNIVERSAL)),
    "TeletexString": certificate(issuer=name(b"Juergen", TELETEX)),
    "control characters": certificate(subject=name(b"ann\x00\x1b[2J\r\n"), issuer=name(b"\x07\x7f\n[sssd]")),
    "an arrow and a rule": certificate(subject=name(b"x -> root\n<SUBJECT>.*"), issuer=name(b"^.*$)(|")),
    "12 KiB of subject": certificate(subject=name(b"(" * 12000)),
    "principal name that is no text": certificate(
        extensions=names(tlv.encode(0xA0, PRINCIPAL + tlv.encode(0xA0, tlv.encode(INTEGER, b"\x05"))))
    ),
    "unknown extension": certificate(extensions=extension("2a0304", b"\xff\xff")),
    "no end": certificate(end=tlv.encode(TIME, b"99991231235959Z")),
    "serial number of 20 bytes": certificate(serial=b"\x7f" * 20),
    "ends before it starts": certificate(start=moment(NOW + timedelta(days=1)), end=moment(NOW - timedelta(days=1))),
}
"""What it is -> a certificate that may be refused; if it is not, everything has to work with it."""


def library_reads(der: bytes) -> bool:
    """Whether the library takes the certificate at first: it puts off most of the reading."""
    try:
        x509.load_der_x509_certificate(der)
    except ValueError:
        return False
    return True
