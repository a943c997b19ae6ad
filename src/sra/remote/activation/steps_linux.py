"""What makes a Linux machine with systemd a remote: a list of steps, made of what was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sra.paths import CARD_USER, DAEMON_USER, SCREEN_USER
from sra.remote.activation import templates, virtual_screen_linux
from sra.remote.activation.changed_machine import ROOT_OWNER, UNITS, Owner
from sra.remote.activation.steps import (
    Enabled,
    ExistingFile,
    File,
    Folder,
    Group,
    Run,
    Step,
    SystemUser,
    TrustedCertificate,
)
from sra.remote.activation.virtual_screen_linux import VirtualScreen

SRAD = Owner(DAEMON_USER, DAEMON_USER)
KEY_READER = Owner("root", DAEMON_USER)
"""The daemon uses its key, but can't change it."""
SCREEN_UNIT = "sra-screen.service"
PCSC_GROUP = "sra-card"
"""Who may use the machine's readers."""

PARTS = ("srad.service", "sra-card@*.service", "sra-runtime.service")
CONFIGURATION = "/etc/sra"
IDENTITY = f"{CONFIGURATION}/identity"
KEY, CERTIFICATE = f"{IDENTITY}/key.pem", f"{IDENTITY}/certificate.pem"
RUN = "/run/sra"
DRIVER = "/usr/lib/pcsc/drivers/serial/libifdvirtualserial.so"
POLKIT_RULES = "/etc/polkit-1/rules.d"

_RELOAD = (("systemctl", "daemon-reload"),)
_PCSCD_AGAIN = (
    ("systemctl", "stop", "pcscd.service"),
    ("systemctl", "restart", "pcscd.socket"),
)
"""A socket can't be restarted while its service runs; the next program that wants a card starts that again."""


@dataclass(frozen=True)
class Identity:
    """A TLS key and its certificates, in PEM."""

    key: bytes = field(repr=False)
    certificates: bytes = field(repr=False)


@dataclass(frozen=True)
class ScreenFiles:
    """What sharing the screen needs: the unit of its helper, and the PAM service of who opens it."""

    unit: bytes
    pam: bytes


@dataclass(frozen=True)
class RemoteSetup:
    """What is to be set up. ``programs``: the folder of srad and sra-card. ``identity``: to be put in, else kept.

    ``former``: the file to keep the replaced identity in, and its content. ``trusted``: a certificate in PEM.
    """

    programs: Path
    readers: int
    identity: Identity | None = None
    former: tuple[str, bytes] | None = field(default=None, repr=False)
    trusted: bytes | None = None
    screen: ScreenFiles | None = None
    virtual_screen: bool = False
    pcscd_uid: int = 0
    pcscd_asks_polkit: bool = False


def steps(setup: RemoteSetup) -> tuple[Step, ...]:
    """The steps, in order; they are taken back in the opposite one.

    The last ones (trust, a virtual screen, screen sharing) come after the service: adding them interrupts nobody.
    """
    return (
        SystemUser(SRAD.user, "Secure Remote Access daemon"),
        SystemUser(CARD_USER, "Secure Remote Access virtual card"),
        Group(PCSC_GROUP),
        *_folders(),
        *_former(setup.former),
        *_identity(setup.identity),
        Run("pcscd without our files", on_undo=_PCSCD_AGAIN),
        Run("units without our files", on_undo=_RELOAD),
        *_units(setup),
        *_pcscd(setup),
        Run("units read again", on_change=_RELOAD),
        Run("pcscd with the virtual readers", on_change=_PCSCD_AGAIN),
        Enabled("sra.target", PARTS),
        *([TrustedCertificate(setup.trusted)] if setup.trusted else []),
        *(_virtual_screen(setup.programs) if setup.virtual_screen else ()),
        *_screen(setup.screen),
    )


def all_steps() -> tuple[Step, ...]:
    """Every step that an activation can have done, for whoever looks for its traces; what is in its files is unknown.

    Whether it made the identity is unknown too, so that counts as given.
    """
    screen = ScreenFiles(b"", b"")
    most = RemoteSetup(Path("/"), readers=1, trusted=b"?", screen=screen, virtual_screen=True, pcscd_asks_polkit=True)
    return *steps(most), ExistingFile(CERTIFICATE, 0o644, ROOT_OWNER)


def _virtual_screen(programs: Path) -> tuple[Step, ...]:
    return (
        Folder(virtual_screen_linux.FOLDER),
        VirtualScreen(virtual_screen_linux.SETTINGS, templates.lightdm_conf(programs)),
    )


def _screen(files: ScreenFiles | None) -> tuple[Step, ...]:
    if files is None:
        return ()
    return (
        SystemUser(SCREEN_USER, "Secure Remote Access screen sharing"),
        Folder("/etc/pam.d"),
        File("/etc/pam.d/sra-vnc", files.pam),
        Run("units without the screen's helper", on_undo=_RELOAD),
        File(f"{UNITS}/{SCREEN_UNIT}", files.unit),
        Run("the screen's helper read again", on_change=_RELOAD),
        Enabled(SCREEN_UNIT),
    )


def _folders() -> tuple[Step, ...]:
    return (
        Folder(CONFIGURATION),
        Folder(IDENTITY),
        Folder("/var/lib/sra", 0o755, SRAD, is_state=True),
        Folder("/var/log/sra", 0o750, SRAD),
    )


def _former(former: tuple[str, bytes] | None) -> tuple[Step, ...]:
    if former is None:
        return ()
    path, data = former
    return Folder(path.rpartition("/")[0], 0o700), File(path, data, 0o600)


def _identity(identity: Identity | None) -> tuple[Step, ...]:
    if identity is None:
        return (ExistingFile(KEY, 0o640, KEY_READER),)
    return File(KEY, identity.key, 0o640, KEY_READER), File(CERTIFICATE, identity.certificates)


def _units(setup: RemoteSetup) -> tuple[Step, ...]:
    return (
        File(f"{UNITS}/sra-runtime.service", templates.runtime_service()),
        File(f"{UNITS}/srad.service", templates.srad_service(setup.programs)),
        File(f"{UNITS}/sra-card@.service", templates.card_service(setup.programs, setup.pcscd_uid)),
        File(f"{UNITS}/sra.target", templates.target(setup.readers)),
    )


def _pcscd(setup: RemoteSetup) -> tuple[Step, ...]:
    socket, service = f"{UNITS}/pcscd.socket.d", f"{UNITS}/pcscd.service.d"
    polkit = [File(f"{POLKIT_RULES}/50-sra-card.rules", templates.polkit_rules())] if setup.pcscd_asks_polkit else []
    return (
        Folder("/etc/reader.conf.d"),
        File("/etc/reader.conf.d/secure-remote-access", templates.reader_conf(DRIVER, RUN, setup.readers)),
        Folder(socket),
        File(f"{socket}/sra.conf", templates.pcscd_socket()),
        Folder(service),
        File(f"{service}/sra.conf", templates.pcscd_service()),
        *polkit,
    )
