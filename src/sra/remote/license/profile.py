"""Licenses travel in configuration profiles: property lists that macOS and device management know.

The same file is installed by command on Linux (``sra license install``) and by double click or device management on
macOS, which leaves the payload's own keys in ``/Library/Managed Preferences``; both forms are read here. A profile may
be signed, in a CMS envelope (RFC 5652, 5.1) as DER, as BER with indefinite lengths, or as PEM. The envelope's signature
is not checked: an issuer vouches for a license by the license's own signature, and macOS checks the envelope itself.
"""

from __future__ import annotations

import base64
import plistlib
import uuid
from collections.abc import Iterator
from typing import Any
from xml.parsers.expat import ExpatError

from sra.errors import UsageError

PAYLOAD_TYPE = "com.secureremoteaccess.license"
"""The type of our payload, and the domain of the managed preferences."""
STATEMENT_KEY = "License"
NAMESPACE = uuid.UUID("6d1f1f0b-4c1c-5f0f-9a59-0f5c3a6c4116")
"""A license's serial in this namespace gives its payloads' identifiers, so the same license is the same profile."""

_UNREADABLE = (ValueError, ExpatError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What plistlib raises for bytes that are no property list."""

_PEM_BEGIN = b"-----BEGIN "
_SEQUENCE, _EXPLICIT_0 = 0x30, 0xA0
_PATH = (
    (0, _SEQUENCE),  # ContentInfo
    (1, _EXPLICIT_0),  # its content
    (0, _SEQUENCE),  # SignedData
    (2, _SEQUENCE),  # encapContentInfo, after version and digestAlgorithms
    (1, _EXPLICIT_0),  # eContent
)
"""(which element, its tag) from the outside to the content."""


class ProfileError(UsageError):
    """The file is no configuration profile."""


def build(statement: str, serial: str, licensee: str) -> bytes:
    """The profile (XML) that carries a signed statement to a machine; a renewed one replaces the old one."""
    payload = {
        "PayloadType": PAYLOAD_TYPE,
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{PAYLOAD_TYPE}.payload",
        "PayloadUUID": _identifier("payload", serial),
        "PayloadDisplayName": "Secure Remote Access: license",
        "PayloadEnabled": True,
        STATEMENT_KEY: statement,
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": PAYLOAD_TYPE,
        "PayloadUUID": _identifier("profile", serial),
        "PayloadDisplayName": "Secure Remote Access: license",
        "PayloadDescription": "Lets this machine be connected to with Secure Remote Access.",
        "PayloadOrganization": licensee,
        "PayloadScope": "System",
        "PayloadContent": [payload],
    }
    return plistlib.dumps(profile, sort_keys=False)


def statements_in(data: bytes) -> list[str]:
    """The signed statements in a profile (none in other products' profiles), or in our managed preferences.

    Raises ``ProfileError`` if it is neither.
    """
    try:
        return list(_statements(plistlib.loads(unwrap(data))))
    except _UNREADABLE as error:
        raise ProfileError(f"this is not a configuration profile: {error}") from error


def unwrap(data: bytes) -> bytes:
    """The content of a CMS signed-data envelope; other data unchanged. Raises ``ValueError`` for a broken envelope."""
    if data.startswith(_PEM_BEGIN):
        lines = data.decode("ascii").splitlines()
        end = next((number for number, line in enumerate(lines) if line.startswith("-----END ")), 0)
        data = base64.b64decode("".join(lines[1:end]), validate=True)
    if data[:1] != bytes([_SEQUENCE]):
        return data
    from asn1crypto import core, parser  # noqa: PLC0415 - 40 ms, only needed for signed profiles

    try:
        # The parser limits the depth of indefinite lengths itself, so a hostile envelope can't exhaust the stack.
        for position, tag in _PATH:
            for _ in range(position):
                data = data[parser.peek(data) :]
            found, data = data[:1], parser.parse(data)[4]
            if found != bytes([tag]):
                break
        else:
            return bytes(core.OctetString.load(data, strict=True).native)
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(f"the envelope of this signed profile is damaged: {error}") from error
    raise ValueError("this envelope is not a signed profile")


def _statements(profile: dict[str, Any]) -> Iterator[str]:
    if STATEMENT_KEY in profile:
        payloads = [{"PayloadType": PAYLOAD_TYPE, **profile}]
    elif profile["PayloadType"] == "Configuration":
        payloads = profile["PayloadContent"]
    else:
        raise ValueError("its type is another")
    for payload in payloads:
        if payload["PayloadType"] == PAYLOAD_TYPE:
            statement = payload[STATEMENT_KEY]
            if not isinstance(statement, str):
                raise TypeError("its license is no text")
            yield statement


def _identifier(what: str, serial: str) -> str:
    return str(uuid.uuid5(NAMESPACE, f"{what} {serial}")).upper()
