"""Licenses on their way: configuration profiles, their envelopes, the signed statement, the issuer's key."""

from __future__ import annotations

import functools

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fuzz.target import attempt, must, target
from sra.piv import tlv
from sra.remote.license import issuers, profile, statement
from sra.remote.license.issuers import IssuerKeyError
from sra.remote.license.profile import ProfileError
from sra.remote.license.statement import LicenseError
from sra.remote.license.store import MAX_PROFILE


@functools.cache
def issuer() -> Ed25519PrivateKey:
    """An issuer's key: always the same."""
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def envelope(content: bytes) -> bytes:
    """``content`` in signed-data (RFC 5652, 5.1) without certificates and signers."""
    inside = tlv.encode(0x30, tlv.encode(0x06, b"\x2a") + tlv.encode(0xA0, tlv.encode(0x04, content)))
    data = tlv.encode(0x30, b"\x02\x01\x01" + tlv.encode(0x31) + inside + tlv.encode(0x31))
    return tlv.encode(0x30, bytes.fromhex("06092a864886f70d010702") + tlv.encode(0xA0, data))


@target(
    max_len=16384, words=(b"\x30\x80", b"\xa0\x80", b"\x24\x80", b"\x00\x00", b"-----BEGIN CMS-----\n", b"-----END ")
)
def fuzz_cms(data: bytes) -> None:
    """A signed configuration profile's envelope."""
    content = attempt(ValueError, profile.unwrap, data)
    must(content is None or len(content) <= len(data), "what is inside is not longer than what is around it")
    must(profile.unwrap(envelope(data)) == data, "what was put in comes out")


@target(
    max_len=8192,
    words=(
        b"<plist version='1.0'>", b"<dict>", b"</dict>", b"<key>PayloadType</key>", b"<key>PayloadContent</key>",
        b"<string>com.secureremoteaccess.license</string>", b"<string>Configuration</string>", b"<array>", b"<data>",
        b"<integer>", b"<date>", b"<real>", b"bplist00", b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"<key>License</key>",
    ),
)  # fmt: skip
def fuzz_mobileconfig(data: bytes) -> None:
    """A configuration profile: its licenses, or an error."""
    for body in (data, envelope(data)):
        found = attempt(ProfileError, profile.statements_in, body)
        must(all(isinstance(text, str) and len(text) <= MAX_PROFILE for text in found or ()), "a license is a text")


@target(max_len=statement.MAX_STATEMENT + 64, words=(b'{"alg":"EdDSA"', b"eyJ", b".", b"sra-license+jwt"))
def fuzz_license_statement(data: bytes) -> None:
    """A license (JWS) of anybody, and one whose payload an issuer has signed."""
    trusted = {statement.key_id(issuer().public_key()): issuer().public_key()}
    header = {"typ": statement.TYPE, "kid": statement.key_id(issuer().public_key())}
    genuine = statement._jws.encode(data, issuer(), algorithm=statement.ALGORITHM, headers=header)
    for text in (data.decode(errors="replace"), genuine):
        found = attempt(LicenseError, statement.verify, text, trusted, "remote")
        if found is not None:
            again = statement.verify(statement.sign(found, issuer()), trusted, "remote")
            must(again == found, "a license that was read is read again as it was")
            attempt(LicenseError, found.check, "remote", 1.9e9, 1.9e9)


@target(max_len=2048, words=(b"-----BEGIN PUBLIC KEY-----\n", b"-----END PUBLIC KEY-----\n"))
def fuzz_issuer_key(data: bytes) -> None:
    """The public key of who issues licenses."""
    key = attempt(IssuerKeyError, issuers.parse_public, data, "issuer.pem")
    must(key is None or issuers.parse_public(issuers.pem(key), "again") == key, "a key is written as it was read")
