"""Licenses made for tests: one issuer, one machine, one moment."""

from __future__ import annotations

import plistlib
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sra.remote.license import issuers, profile, statement
from sra.remote.license.latest_time import LatestTime
from sra.remote.license.statement import FEATURES, License
from sra.remote.license.store import LicensePlaces, LicenseStore

HOST = "kiosk-7.example.com"
DAY = 86_400
NOW = 1_800_000_000.0
"""15 January 2027, 08:00 UTC."""
ISSUER = Ed25519PrivateKey.from_private_bytes(b"issuer" * 5 + b"..")
STRANGER = Ed25519PrivateKey.from_private_bytes(b"stranger" * 4)
USUAL = License("Example Ltd", "42", int(NOW) - DAY, int(NOW) - DAY, int(NOW) + DAY, "any", 5, FEATURES)


def changed(**changes: object) -> License:
    return msgspec.structs.replace(USUAL, **changes)


def profile_of(license_: License = USUAL, key: Ed25519PrivateKey = ISSUER) -> bytes:
    return profile.build(statement.sign(license_, key), license_.serial, license_.licensee)


def profile_of_several(*profiles: bytes) -> bytes:
    """One profile with the payloads of all of these."""
    read = [plistlib.loads(each) for each in profiles]
    return plistlib.dumps(
        read[0] | {"PayloadContent": [payload for each in read for payload in each["PayloadContent"]]}
    )


def forged() -> bytes:
    """A profile that says what its issuer said, with somebody else's signature under it."""
    stated, _, _ = statement.sign(USUAL, ISSUER).rpartition(".")
    return profile.build(f"{stated}.{statement.sign(USUAL, STRANGER).split('.')[2]}", "42", "Example Ltd")


class Machine:
    """A remote's folder with the issuer's key in it."""

    def __init__(self, root: Path) -> None:
        self.profiles = root / "profiles"
        self.issuers = root / "license.d"
        self.state = root / "state" / "latest-time"
        self.managed = root / "managed.plist"
        self.profiles.mkdir()
        self.trust(ISSUER)

    def trust(self, key: Ed25519PrivateKey, name: str = "fleet.pem") -> None:
        self.issuers.mkdir(exist_ok=True)
        (self.issuers / name).write_bytes(issuers.pem(key.public_key()))

    def put(self, data: bytes, name: str = "license.mobileconfig") -> Path:
        path = self.profiles / name
        path.write_bytes(data)
        return path

    running = 0.0
    """Seconds for which the machine has run."""

    def store(self, host: str = HOST) -> LicenseStore:
        """As a process that has just started finds it."""
        latest = LatestTime(self.state, lambda: self.running)
        return LicenseStore(LicensePlaces(self.profiles, self.issuers, self.managed), latest, host)
