"""A license: a signed statement of who may use the product, when, and where; and what can be wrong with one.

A compact JWS (RFC 7515) with one algorithm, Ed25519 (RFC 8037), and an explicit type (RFC 8725, 3.11). Nothing in it is
trusted before its signature is verified by the key of a trusted issuer.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sra.errors import RefusalCode, RefusedError

ALGORITHM = "EdDSA"

TYPE = "sra-license+jwt"

MAX_STATEMENT = 16 * 1024
"""Characters: a license with 64 host patterns takes some 6,000."""

ANY = "any"

REMOTE_ACCESS = "remote-access"

SCREEN_SHARING = "screen-sharing"

FEATURES = (REMOTE_ACCESS, SCREEN_SHARING)
"""What a license can include."""

LicenseText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]

HostPattern = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9_*]([a-z0-9_.*-]{0,251}[a-z0-9_*])?\Z")]

Hosts = Annotated[tuple[HostPattern, ...], msgspec.Meta(min_length=1, max_length=64)]

Seconds = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800)]
"""A NumericDate (RFC 7519) before the year 10000."""

_NAMES = {"licensee": "sub", "serial": "jti", "issued": "iat", "begins": "nbf", "ends": "exp"}
"""The registered claims (RFC 7519, 4.1) that mean what ours mean."""

_UNREADABLE = (jwt.PyJWTError, msgspec.MsgspecError, ValueError, TypeError, LookupError, RecursionError)

_jws = jwt.PyJWS(algorithms=[ALGORITHM])


class License(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=_NAMES):
    """The statement. Times are seconds since 1970; host names are compared in lower case, ``*`` matches any characters.

    ``machines`` is how many machines the licensee may use. A remote knows only itself, so no program checks it.
    """

    licensee: LicenseText
    serial: LicenseText
    issued: Seconds
    begins: Seconds
    ends: Seconds
    hosts: Hosts | Literal["any"]
    machines: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
    features: Annotated[tuple[LicenseText, ...], msgspec.Meta(max_length=32)]

    def is_for(self, host: str) -> bool:
        """Whether it covers the machine of that name."""
        return self.hosts == ANY or any(fnmatchcase(host.lower(), pattern) for pattern in self.hosts)

    def check(self, host: str, clock: float, seen: float) -> None:
        """Raise ``LicenseError`` unless it is valid for ``host`` at ``seen``, the latest time of the clock."""
        begins, ends, now = day(self.begins), day(self.ends), day(seen)
        if seen >= self.ends:
            problem = LicenseProblem.EXPIRED if clock >= self.ends else LicenseProblem.CLOCK_SET_BACK
            raise LicenseError(problem, host, f"serial {self.serial}", ends=ends, now=now)
        if seen < self.begins:
            raise LicenseError(LicenseProblem.NOT_YET_VALID, host, f"serial {self.serial}", begins=begins, now=now)
        if not self.is_for(host):
            raise LicenseError(LicenseProblem.OTHER_HOST, host, f"it is for {', '.join(self.hosts)}")
        if REMOTE_ACCESS not in self.features:
            raise LicenseError(
                LicenseProblem.OTHER_FEATURE, host, f"it includes {', '.join(self.features) or 'nothing'}"
            )


def sign(license_: License, key: Ed25519PrivateKey) -> str:
    """The statement, signed."""
    header = {"typ": TYPE, "kid": key_id(key.public_key())}
    return _jws.encode(msgspec.json.encode(license_), key, algorithm=ALGORITHM, headers=header)


def verify(statement: str, issuers: Mapping[str, Ed25519PublicKey], host: str) -> License:
    """The license, if a trusted issuer has signed it; otherwise raise ``LicenseError``, naming ``host``.

    ``issuers``: the trusted keys by ``key_id``.
    """
    try:
        issuer = issuers.get(_key_id_of(statement))
        if issuer is None:
            raise LicenseError(LicenseProblem.UNKNOWN_ISSUER, host, f"it names the key {_key_id_of(statement)}")
        payload = _jws.decode_complete(statement, issuer, algorithms=[ALGORITHM])["payload"]
        return msgspec.json.decode(payload, type=License)
    except jwt.InvalidSignatureError as error:
        raise LicenseError(LicenseProblem.BAD_SIGNATURE, host) from error
    except _UNREADABLE as error:
        raise LicenseError(LicenseProblem.DAMAGED, host, str(error)) from error


def key_id(key: Ed25519PublicKey) -> str:
    """The key's thumbprint (RFC 7638): the SHA-256 of its members in order, in base64url."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(key.public_bytes_raw())}
    return _base64url(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def day(seconds: float) -> str:
    """The day (UTC) of a time in seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _key_id_of(statement: str) -> str:
    """The identifier of the key that it names; raise ``ValueError`` if it is no license."""
    if len(statement) > MAX_STATEMENT:
        raise ValueError("it is too long")
    header = jwt.get_unverified_header(statement)
    if header.get("alg") != ALGORITHM or header.get("typ") != TYPE:
        raise ValueError("it is not a license")
    key = header.get("kid")
    if not isinstance(key, str):
        raise TypeError("it names no issuer")
    return key


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class LicenseProblem(StrEnum):
    """Why a license is not valid, the nearest to a valid one first."""

    EXPIRED = "expired"
    CLOCK_SET_BACK = "clock-set-back"
    NOT_YET_VALID = "not-yet-valid"
    OTHER_HOST = "other-host"
    OTHER_FEATURE = "other-feature"
    UNKNOWN_ISSUER = "unknown-issuer"
    BAD_SIGNATURE = "bad-signature"
    DAMAGED = "damaged"
    NONE = "none"


_INSTALL = "Its administrator installs {what} there: sra license install FILE"


_ONE, _NEW, _OWN = (_INSTALL.format(what=what) for what in ("one", "a new one", "one of its own"))


TEXTS = {
    LicenseProblem.NONE: f"{{host}} has no license, so nobody can connect to it. {_ONE}",
    LicenseProblem.EXPIRED: f"The license of {{host}} expired on {{ends}}. {_NEW}",
    LicenseProblem.CLOCK_SET_BACK: (
        f"The license of {{host}} expired on {{ends}}: the clock of that machine was set back since it showed {{now}}. "
        f"{_NEW}; or, if the clock was wrong then: sra license clock --accept"
    ),
    LicenseProblem.NOT_YET_VALID: (
        "The license of {host} is not valid before {begins}, and there it is {now}. "
        "Its administrator sets the clock, or waits."
    ),
    LicenseProblem.OTHER_HOST: f"The license on {{host}} is for other machines. {_OWN}",
    LicenseProblem.OTHER_FEATURE: f"The license of {{host}} does not include remote access. {_NEW}",
    LicenseProblem.UNKNOWN_ISSUER: (
        "The license of {host} is signed by no issuer that this machine trusts. "
        "Its administrator installs it with its issuer's key: sra license install FILE --issuer KEY"
    ),
    LicenseProblem.BAD_SIGNATURE: (
        f"The license of {{host}} is forged: its signature is not its issuer's, or it was changed afterwards. {_NEW}"
    ),
    LicenseProblem.DAMAGED: f"The license of {{host}} is damaged and can't be read. {_NEW}",
}
"""Strangers may read these texts: they name the machine and dates, but no customer and no file."""


class LicenseError(RefusedError):
    """There is no valid license; ``detail`` is for the remote's administrator, not for strangers."""

    def __init__(self, problem: LicenseProblem, host: str, detail: str = "", **facts: str) -> None:
        super().__init__(RefusalCode.LICENSE, TEXTS[problem].format(host=host, **facts))
        self.problem = problem
        self.detail = detail
