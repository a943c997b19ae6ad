"""Licenses travel in configuration profiles: property lists that macOS and device management know.

The same file is installed by command on Linux (``sra license install``) and by double click or device management on
macOS, which leaves the payload's own keys in ``/Library/Managed Preferences``; both forms are read here.
"""

from __future__ import annotations

import plistlib
import uuid
from collections.abc import Iterator
from typing import Any
from xml.parsers.expat import ExpatError

from sra.errors import UsageError
from sra.remote.license import cms

PAYLOAD_TYPE = "com.secureremoteaccess.license"
"""Also the domain of the managed preferences."""
STATEMENT_KEY = "License"
NAMESPACE = uuid.UUID("6d1f1f0b-4c1c-5f0f-9a59-0f5c3a6c4116")
"""From which a license's serial makes its payloads' identifiers, so that the same license is the same profile."""

_UNREADABLE = (ValueError, ExpatError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What plistlib raises for bytes that are no property list."""


class ProfileError(UsageError):
    """The file is no configuration profile."""


def build(statement: str, serial: str, licensee: str) -> bytes:
    """The profile (XML) that carries a signed statement to a machine; a renewed one takes the place of the old."""
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
    """The signed statements in a profile (of other products': none), or in our managed preferences.

    Raises ``ProfileError`` if it is neither.
    """
    try:
        return list(_statements(plistlib.loads(cms.unwrap(data))))
    except _UNREADABLE as error:
        raise ProfileError(f"this is not a configuration profile: {error}") from error


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
