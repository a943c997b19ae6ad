"""Where the files of a machine's logins are, below one root."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from sra.system import files

OPENSC = (
    "usr/lib/*/opensc-pkcs11.so", "usr/lib/opensc-pkcs11.so", "usr/lib64/opensc-pkcs11.so",
    "usr/lib64/pkcs11/opensc-pkcs11.so", "Library/OpenSC/lib/opensc-pkcs11.so",
)  # fmt: skip
"""Where distributions, and OpenSC's own package on macOS, put its PKCS #11 module."""
PAM_MODULES = (
    "lib/*/security/pam_pkcs11.so", "usr/lib/*/security/pam_pkcs11.so", "lib64/security/pam_pkcs11.so",
    "usr/lib64/security/pam_pkcs11.so", "usr/lib/security/pam_pkcs11.so",
)  # fmt: skip
"""Where distributions put pam_pkcs11."""
PROGRAMS = "usr/lib/secure-remote-access"
"""Where ``make -C reader install`` installs the programs that the logins need."""
ANNOUNCE = "sra-announce"
"""The program that says whether the card may be asked for a login, and announces that."""
MODULE = "sra-opensc.so"
"""OpenSC's PKCS #11 module without the caller's environment: the only one that a login may load."""
BUILT = Path(__file__).resolve().parents[4] / "reader" / "build"
"""Where both are in a checkout, where nothing is installed."""


class LoginPaths:
    """The files of the logins of the machine below ``root``; see pam.d(5), pam_pkcs11(8) and sssd.conf(5)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root: Final = root
        self.stacks: Final = root / "etc/pam.d"
        """The stacks: one file for each service."""
        self.vendor_stacks: Final = root / "usr/lib/pam.d"
        """The stacks of services that the administrator has not configured."""
        self.ours: Final = root / "etc/pam_pkcs11/sra"
        """A folder with files of this product only. Every user may read it: some programs log in without being root."""
        self.configuration: Final = self.ours / "pam_pkcs11.conf"
        """pam_pkcs11's settings for our stacks, which name this file."""
        self.default_configuration: Final = root / "etc/pam_pkcs11/pam_pkcs11.conf"
        """pam_pkcs11's settings for stacks that name no file: the administrator's, or those of a former version."""
        self.mapping: Final = self.ours / "mapping"
        """pam_pkcs11's mapping of certificates to accounts."""
        self.trust: Final = self.ours / "trust"
        """The folder of authorities and revocation lists, with OpenSSL's names."""
        self.sssd: Final = root / "etc/sssd"
        """SSSD's folder of settings; it exists if SSSD is installed."""
        self.sssd_pairings: Final = self.sssd / "conf.d/50-sra-pairing.conf"
        """Our part of SSSD's settings."""
        self.autostart: Final = root / "etc/xdg/autostart/sra-watch-removal.desktop"
        """The entry that starts the watch in every session (XDG's autostart)."""
        self.before: Final = root / "var/lib/sra-login"
        """Root's own folder of the files as they were before."""
        self.former_configuration: Final = self.before / "pam_pkcs11.conf"
        """pam_pkcs11's default settings as they were before a former version replaced them."""
        self.edited: Final = self.before / "edited"
        """The edited files that had to be replaced: kept until the package is purged."""

    def named(self, path: Path) -> str:
        """The path from this machine's own root."""
        return f"/{path.relative_to(self.root)}"

    def first(self, patterns: tuple[str, ...]) -> Path | None:
        """The first file that matches."""
        return next((path for pattern in patterns for path in sorted(self.root.glob(pattern))), None)

    def program(self, name: str) -> str | None:
        """The path, from this machine's own root, of a program that PAM needs; ``None`` if it is missing."""
        installed = self.root / PROGRAMS / name
        if installed.exists():
            return self.named(installed)
        return str(BUILT / name) if (BUILT / name).exists() else None

    def keep_edited(self, name: str, data: bytes) -> Path:
        """Keep an edited file's content under this name, readable by root only; returns its path."""
        path = self.edited / name
        for folder in (self.before, path.parent):
            files.make_folder(folder, 0o700)
        files.replace(path, data, 0o600)
        return path

    def remove_ours(self) -> None:
        """Remove this product's own files, and the backups of the stacks."""
        self.sssd_pairings.unlink(missing_ok=True)
        self.autostart.unlink(missing_ok=True)
        for folder in (self.ours, self.before / "pam.d"):
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # it is not empty: it has edited files that the administrator may want
            self.before.rmdir()
