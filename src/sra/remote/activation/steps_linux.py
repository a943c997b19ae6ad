"""What makes a Linux machine with systemd a remote: a list of steps, and the files that they write."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from sra.paths import CARD_USER, DAEMON_USER, SCREEN_USER
from sra.remote.activation import virtual_screen_linux
from sra.remote.activation.changed_machine import UNITS, Owner
from sra.remote.activation.steps import (
    PCSCD_AGAIN,
    RELOAD,
    TRUSTED,
    Enabled,
    ExistingFile,
    File,
    Folder,
    Group,
    LogFolder,
    Run,
    StateFolder,
    Step,
    SystemUser,
    TrustedCertificate,
)
from sra.remote.activation.undo import LOGIN_WINDOW
from sra.remote.activation.virtual_screen_linux import VirtualScreen
from sra.remote.screen_sharing import templates as screen_templates
from sra.transport.tls_identity import IdentityFiles

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
READER = """\

FRIENDLYNAME "Secure Remote Access"
DEVICENAME   /dev/null:{run}/readers/{number}
LIBPATH      {driver}
CHANNELID    {number}
"""
"""A virtual reader, for pcscd: see reader.conf(5) and ``reader/reader.conf.in``."""
READERS = "# The virtual readers of Secure Remote Access. Written by “sra activate”, removed by “sra deactivate”.\n"


@dataclass(frozen=True)
class ScreenFiles:
    """What the PAM service of a shared screen names: a Python that has this package, and the helper's socket."""

    python: Path
    socket: Path


@dataclass(frozen=True)
class RemoteSetup:
    """What is to be set up. ``programs``: the folder of srad and sra-card. ``identity``: to be put in, else kept.

    ``former``: the file to keep the replaced identity in, and its content. ``trusted``: a certificate in PEM.
    """

    programs: Path
    readers: int
    identity: IdentityFiles | None = None
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
        Folder(CONFIGURATION),
        Folder(IDENTITY),
        StateFolder("/var/lib/sra", 0o755, SRAD),
        LogFolder("/var/log/sra", 0o750, SRAD),
        *_identity(setup),
        *_units(setup),
        *_pcscd(setup),
        Run("units read again", RELOAD),
        Run("pcscd with the virtual readers", PCSCD_AGAIN),
        Enabled("sra.target", PARTS),
        *([TrustedCertificate(TRUSTED, setup.trusted)] if setup.trusted else []),
        *(_virtual_screen(setup.programs) if setup.virtual_screen else ()),
        *(_screen(setup, setup.screen) if setup.screen else ()),
    )


def all_steps() -> tuple[Step, ...]:
    """Every step that an activation can have done, to look for its traces; what is in its files is unknown.

    Whether it made the identity is unknown too, so that counts as given.
    """
    most = RemoteSetup(
        Path("/"), readers=1, trusted=b"?", screen=ScreenFiles(Path("/"), Path("/")), virtual_screen=True,
        pcscd_asks_polkit=True,
    )  # fmt: skip
    return *steps(most), ExistingFile(CERTIFICATE, mode=0o644)


def shipped(name: str, **values: str) -> bytes:
    """A file of the package, with these values in place of ``@NAME@``."""
    text = resources.files(__package__).joinpath("files", name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text.encode()


def _identity(setup: RemoteSetup) -> tuple[Step, ...]:
    """The identity that is there, readable for the daemon; or another in its place."""
    if setup.identity is None:
        return (ExistingFile(KEY, mode=0o640, owner=KEY_READER),)
    put_in = File(KEY, setup.identity.key, 0o640, KEY_READER), File(CERTIFICATE, setup.identity.certificates)
    if setup.former is None:
        return put_in
    path, data = setup.former
    return Folder(path.rpartition("/")[0], 0o700), File(path, data, 0o600), *put_in


def _units(setup: RemoteSetup) -> tuple[Step, ...]:
    programs = str(setup.programs)
    pcscd = f" --pcscd-uid {setup.pcscd_uid}" if setup.pcscd_uid else ""
    cards = " ".join(f"sra-card@{number}.service" for number in range(setup.readers))
    return (
        File(f"{UNITS}/sra-runtime.service", shipped("sra-runtime.service")),
        File(f"{UNITS}/srad.service", shipped("srad.service", BIN=programs)),
        File(f"{UNITS}/sra-card@.service", shipped("sra-card@.service", BIN=programs, PCSCD=pcscd)),
        File(f"{UNITS}/sra.target", shipped("sra.target", CARDS=cards)),
    )


def _pcscd(setup: RemoteSetup) -> tuple[Step, ...]:
    readers = (READER.format(driver=DRIVER, run=RUN, number=number) for number in range(setup.readers))
    polkit = File("/etc/polkit-1/rules.d/50-sra-card.rules", shipped("polkit.rules"))
    return (
        Folder("/etc/reader.conf.d"),
        File("/etc/reader.conf.d/secure-remote-access", "".join((READERS, *readers)).encode()),
        Folder(f"{UNITS}/pcscd.socket.d"),
        File(f"{UNITS}/pcscd.socket.d/sra.conf", shipped("pcscd-socket.conf")),
        Folder(f"{UNITS}/pcscd.service.d"),
        File(f"{UNITS}/pcscd.service.d/sra.conf", shipped("pcscd-service.conf")),
        *([polkit] if setup.pcscd_asks_polkit else []),
    )


def _virtual_screen(programs: Path) -> tuple[Step, ...]:
    settings = shipped("lightdm.conf", BIN=str(programs))
    return Folder(virtual_screen_linux.FOLDER), VirtualScreen(virtual_screen_linux.SETTINGS, settings)


def _screen(setup: RemoteSetup, screen: ScreenFiles) -> tuple[Step, ...]:
    unit = screen_templates.helper_service(setup.programs, LOGIN_WINDOW if setup.virtual_screen else "")
    return (
        SystemUser(SCREEN_USER, "Secure Remote Access screen sharing"),
        Folder("/etc/pam.d"),
        File("/etc/pam.d/sra-vnc", screen_templates.pam_service(screen.python, screen.socket)),
        File(f"{UNITS}/{SCREEN_UNIT}", unit),
        Run("the screen's helper read again", RELOAD),
        Enabled(SCREEN_UNIT),
    )
