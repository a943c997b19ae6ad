"""What an activation asks of the machine: root, systemd, pcscd, the driver; and whether srad answers after it."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sra.errors import UsageError
from sra.remote.activation.changed_machine import ActivationError, LoginScreen, Machine
from sra.remote.activation.steps_linux import DRIVER
from sra.remote.screen_sharing.x11 import displays_linux

ANSWER_DEADLINE = 20.0
"""Seconds for srad to answer after its start, or for LightDM to show a screen: a slow machine needs three."""
NO_ANSWER = "Everything is set up, but srad does not answer. Look at: journalctl -u srad"
NO_SCREEN = "Everything is set up, but LightDM shows no screen. Look at: journalctl -u lightdm, and /var/log/lightdm"
LOOK_EVERY = 0.1
HIDDEN_FOLDERS = ("home", "root", "tmp", "run")
"""Folders that a service does not see (ProtectHome, PrivateTmp) or that are gone after a restart."""
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def this_machine() -> Machine:
    """The machine that this runs on."""
    return Machine(Path("/"), _execute, _screen)


def _screen() -> LoginScreen:
    """What is shown here; a Wayland session counts as in use, even one that is only a login window."""
    running = list(displays_linux.processes())
    shown = displays_linux.displays(running)
    if displays_linux.is_wayland(running) or any(map(displays_linux.is_somebody_logged_in, shown)):
        return LoginScreen.IN_USE
    return LoginScreen.LOGIN_WINDOW if shown else LoginScreen.NONE


def _execute(argv: Sequence[str]) -> tuple[int, str]:
    try:
        ended = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            env=ENVIRONMENT,
        )  # fmt: skip
    except FileNotFoundError:
        return 127, "it is not installed"
    return ended.returncode, ended.stderr or ended.stdout


def is_root() -> bool:
    """Whether root runs this."""
    return os.geteuid() == 0


def check_root() -> None:
    """Raise ``UsageError`` for any other user."""
    if not is_root():
        raise UsageError("This needs root: run it with sudo.")


def check_machine(machine: Machine) -> None:
    """Raise ``UsageError``, with the next step, where this machine can't be activated."""
    check_root()
    if not machine.path("/run/systemd/system").is_dir():
        raise UsageError(
            "systemd does not run here, so there is nothing that could start the daemon. "
            "By hand: make an identity with “sra identity generate”, then run “sra remote run”."
        )
    if not machine.succeeds(["systemctl", "--quiet", "cat", "pcscd.socket"]):
        raise UsageError("The smart card service is missing. Run: apt-get install pcscd")
    if not machine.path(DRIVER).exists():
        raise UsageError(f"The virtual reader {DRIVER} is missing. In the checkout, run: make -C reader install")


def programs() -> Path:
    """The folder of srad and sra-card, beside this Python; a service has to be able to read it."""
    folder = Path(sys.executable).parent
    if not (folder / "srad").exists():
        raise ActivationError(f"{folder}/srad is missing. Install the package, or run “make setup” in the checkout.")
    if not re.fullmatch(r"[\w./+-]+", str(folder)) or not _is_public(folder):
        raise ActivationError(
            f"The services' users can't read {folder}. Install the package, or move the checkout to /opt or /srv."
        )
    return folder


def _is_public(folder: Path) -> bool:
    """Whether everybody may enter the folder and those above it, and services see them."""
    if folder.parts[1] in HIDDEN_FOLDERS:
        return False
    return all(each.stat().st_mode & 0o001 for each in (folder, *folder.parents))


def wait_for_srad(port: int, certificate: bytes, start_again: Callable[[], None]) -> None:
    """Wait until srad answers with this certificate (DER); start it again if it shows a former one."""
    if _wait(lambda: served(port), NO_ANSWER) != certificate:
        start_again()
        _wait(lambda: served(port) == certificate or None, NO_ANSWER)


def wait_for_screen(machine: Machine) -> None:
    """Wait until a screen is shown."""
    _wait(lambda: machine.screen() is not LoginScreen.NONE or None, NO_SCREEN)


def _wait(look: Callable[[], bytes | bool | None], otherwise: str) -> bytes | bool:
    deadline = time.monotonic() + ANSWER_DEADLINE
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise ActivationError(otherwise)
        time.sleep(LOOK_EVERY)
    return found


def served(port: int) -> bytes | None:
    """The certificate (DER) that srad shows on its local port; ``None`` if it does not answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 2) as connection,
            context.wrap_socket(connection) as secured,
        ):
            return secured.getpeercert(binary_form=True)
    except OSError:
        return None
