"""The license of a remote, put together from where its files are."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from sra.paths import Paths
from sra.remote.license.latest_time import LatestTime
from sra.remote.license.profile import PAYLOAD_TYPE
from sra.remote.license.store import LicensePlaces, LicenseStore

MANAGED = Path("/Library/Managed Preferences") / f"{PAYLOAD_TYPE}.plist"
"""Where macOS puts the payload of an installed profile (untested on a Mac)."""


def open_licenses(paths: Paths) -> LicenseStore:
    """The licenses of the remote with these files, for this machine."""
    managed = MANAGED if sys.platform == "darwin" and paths.root == Path("/") else None
    places = LicensePlaces(paths.profiles, issuers_folder(paths), managed)
    return LicenseStore(places, latest_time(paths), socket.gethostname())


def issuers_folder(paths: Paths) -> Path:
    """The folder of the public keys by which licenses are signed."""
    return paths.trust / "license.d"


def latest_time(paths: Paths) -> LatestTime:
    """The latest time that this remote's clock has shown."""
    return LatestTime(paths.state / "latest-time")
