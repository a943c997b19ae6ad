"""A license for a remote of the lab, without the commands that issue and install one (tests/system/test_license.py)."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sra.remote.license import issuers, profile, statement
from sra.remote.license.statement import FEATURES, License

DAY = 24 * 60 * 60
PROFILE = "etc/sra/profiles/license.mobileconfig"
ISSUER = "etc/sra/trust/license.d/lab.pem"


def a_license(**changes: object) -> License:
    """One that holds for every machine for ten days, unless something is changed."""
    now = int(time.time())
    usual = License("The lab", "1", now - DAY, now - DAY, now + 10 * DAY, "any", 10, FEATURES)
    return msgspec.structs.replace(usual, **changes)


def files_of(license_: License, key: Ed25519PrivateKey | None = None) -> Mapping[str, str]:
    """What has to be in a remote's folder for it: the profile and its issuer's key, by their paths below the root."""
    signer = key or Ed25519PrivateKey.generate()
    signed = statement.sign(license_, signer)
    return {
        PROFILE: profile.build(signed, license_.serial, license_.licensee).decode(),
        ISSUER: issuers.pem(signer.public_key()).decode(),
    }
