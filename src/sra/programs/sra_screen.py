"""``sra-screen``: the root helper that shares the screen (docs/screen.md)."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import sys
from pathlib import Path
from typing import Annotated

import typer

from sra import logs
from sra.config import ScreenConfig, load_daemon_config
from sra.errors import UsageError
from sra.paths import Paths
from sra.programs.run import run_command, until_signal
from sra.remote.screen_sharing.helper import Helper
from sra.remote.screen_sharing.password import OnePassword
from sra.remote.screen_sharing.recording.folder import RecordingFolder
from sra.remote.screen_sharing.recording.recorder import MEBIBYTE, ShareRecorder
from sra.remote.screen_sharing.screen_account import ScreenAccount
from sra.remote.screen_sharing.share import Policy, SharePlace, make_folder, put_console_back

SCREEN_USER = "_srascreen"
DAEMON_USER = "_sra"

log = logging.getLogger("sra.screen")


def main() -> None:
    """Run ``sra-screen``."""
    run_command(screen_helper)


def screen_helper(
    root: Annotated[Path, typer.Option(help="Where etc/sra, run/sra and the rest are.")] = Path("/"),
    log_level: Annotated[str, typer.Option(help="error, warning, info, debug or traffic.")] = "info",
    daemon_uid: Annotated[
        int | None, typer.Option(metavar="UID", help="The user that srad runs as, if it is not _sra.")
    ] = None,
) -> None:
    """Share this machine's screen when srad asks for it, until SIGTERM. It needs root, and the user _srascreen.

    Example: sra-screen --root /tmp/trial
    """
    logs.set_up(log_level, sys.stderr)
    if os.geteuid() != 0:
        raise UsageError("sra-screen sets the password of another user: run it as root.")
    paths = Paths(root)
    account, config, recordings = _account(), load_daemon_config(paths.config).screen, RecordingFolder(paths.recordings)
    recorder = ShareRecorder(recordings, account, config.recordings_mib * MEBIBYTE) if config.record else None
    place = SharePlace(paths.screen, account, policy(config), recorder=recorder)
    make_folder(place.folder, place.account)
    uid = pwd.getpwnam(DAEMON_USER).pw_uid if daemon_uid is None else daemon_uid
    asyncio.run(_serve(Helper(paths.screen_helper, place, uid, OnePassword(account.name), recordings), place))


def policy(config: ScreenConfig) -> Policy:
    """The owner's demands, in the seconds that the helper counts in."""
    return Policy(
        config.enabled,
        config.view_only,
        config.consent_seconds if config.consent else 0,
        config.notice,
        config.password_seconds,
        config.console == "blanked",
    )


def _account() -> ScreenAccount:
    try:
        entry = pwd.getpwnam(SCREEN_USER)
    except KeyError:
        raise UsageError(f"There is no user {SCREEN_USER}: run “sra activate -s”.") from None
    return ScreenAccount(entry.pw_name, entry.pw_uid, entry.pw_gid)


async def _serve(helper: Helper, place: SharePlace) -> None:
    if place.policy.blanked:
        await put_console_back(place)
    await until_signal(helper.serve())
