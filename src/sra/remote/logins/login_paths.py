"""The files of a machine's login, below one root."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sra.system import files

OPENSC = (
    "usr/lib/*/opensc-pkcs11.so", "usr/lib/opensc-pkcs11.so", "usr/lib64/opensc-pkcs11.so",
    "usr/lib64/pkcs11/opensc-pkcs11.so",
)  # fmt: skip
"""Where distributions put OpenSC's PKCS #11 module."""
PAM_MODULES = (
    "lib/*/security/pam_pkcs11.so", "usr/lib/*/security/pam_pkcs11.so", "lib64/security/pam_pkcs11.so",
    "usr/lib64/security/pam_pkcs11.so", "usr/lib/security/pam_pkcs11.so",
)  # fmt: skip
"""Where they put pam_pkcs11."""
PROGRAMS = "usr/lib/secure-remote-access"
"""Where ``make -C reader install`` puts what the logins need."""
ANNOUNCE = "sra-announce"
"""The program that says whether the card may be asked for a login, and announces that."""
MODULE = "sra-opensc.so"
"""OpenSC's PKCS #11 module without the caller's environment: the only one that a login may load."""
BUILT = Path(__file__).resolve().parents[4] / "reader" / "build"
"""The same two in a checkout, where nothing is installed."""


@dataclass(frozen=True)
class LoginPaths:
    """See pam.d(5), pam_pkcs11(8) and sssd.conf(5). ``ours`` holds only what this product has put there."""

    root: Path = Path("/")

    @property
    def stacks(self) -> Path:
        """One file for each service."""
        return self.root / "etc/pam.d"

    @property
    def vendor_stacks(self) -> Path:
        """Those of services that nobody has set up here yet."""
        return self.root / "usr/lib/pam.d"

    @property
    def configuration(self) -> Path:
        """pam_pkcs11's settings for our stacks, which name this file."""
        return self.ours / "pam_pkcs11.conf"

    @property
    def default_configuration(self) -> Path:
        """Its settings for stacks that name no file: the owner's, or ours of a former version."""
        return self.root / "etc/pam_pkcs11/pam_pkcs11.conf"

    @property
    def ours(self) -> Path:
        """The folder beside it that is ours; everybody may read it: some programs log in without being root."""
        return self.root / "etc/pam_pkcs11/sra"

    @property
    def mapping(self) -> Path:
        """Certificates and accounts."""
        return self.ours / "mapping"

    @property
    def trust(self) -> Path:
        """Authorities and revocation lists, with OpenSSL's names."""
        return self.ours / "trust"

    @property
    def sssd(self) -> Path:
        """SSSD's folder of settings: there, if SSSD is."""
        return self.root / "etc/sssd"

    @property
    def sssd_pairings(self) -> Path:
        """Our part of SSSD's settings."""
        return self.sssd / "conf.d/50-sra-pairing.conf"

    @property
    def autostart(self) -> Path:
        """What starts in every session (XDG's autostart)."""
        return self.root / "etc/xdg/autostart/sra-watch-removal.desktop"

    @property
    def before(self) -> Path:
        """The files as they were before: root's alone."""
        return self.root / "var/lib/sra-login"

    @property
    def former_configuration(self) -> Path:
        """pam_pkcs11's default settings as they were before a former version of ours replaced them."""
        return self.before / "pam_pkcs11.conf"

    @property
    def edited(self) -> Path:
        """The files that somebody has edited and that had to be taken back: kept until the package is purged."""
        return self.before / "edited"

    def named(self, path: Path) -> str:
        """The path as programs of this machine know it."""
        return f"/{path.relative_to(self.root)}"

    def first(self, patterns: tuple[str, ...]) -> Path | None:
        """The first file that matches."""
        return next((path for pattern in patterns for path in sorted(self.root.glob(pattern))), None)

    def program(self, name: str) -> str | None:
        """Where a program of ours that PAM needs is, as programs of this machine know it; ``None`` if it is missing."""
        installed = self.root / PROGRAMS / name
        if installed.exists():
            return self.named(installed)
        return str(BUILT / name) if (BUILT / name).exists() else None

    def keep_edited(self, name: str, data: bytes) -> Path:
        """Keep what somebody has edited under this name, root's alone; where it is."""
        path = self.edited / name
        for folder in (self.before, path.parent):
            files.make_folder(folder, 0o700)
        files.replace(path, data, 0o600)
        return path

    def remove_ours(self) -> None:
        """Remove everything that only this product has put there, and what was kept for taking the stacks back."""
        self.sssd_pairings.unlink(missing_ok=True)
        self.autostart.unlink(missing_ok=True)
        for folder in (self.ours, self.before / "pam.d"):
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # there is still something in it that somebody may want
            self.before.rmdir()
