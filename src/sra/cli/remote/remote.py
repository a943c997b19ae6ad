"""``sra remote run``: all of a remote's processes in the foreground, for trials, tests and containers."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import pwd
import secrets
import signal
import subprocess
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sra import logs
from sra.cli.log import log_file
from sra.config import DaemonConfig, load_daemon_config
from sra.errors import UsageError
from sra.ledger import refusals_path
from sra.paths import Paths
from sra.remote.logins.watch import keep_fresh
from sra.system import files
from sra.system.processes import stop
from sra.transport import tls_identity

RESTART_WAIT = 0.3
"""Seconds before a process that ended is started again."""
STOP_DEADLINE = 5.0
"""Seconds that the processes get to end."""
DAEMON_USER, CARD_USER, SCREEN_USER = "_sra", "_sra-card", "_srascreen"
DAEMON_UID, CARD_UID = 61416, 61417
"""Where those users don't exist: numbers of the range that systemd keeps for services without an account."""

_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

log = logging.getLogger("sra.remote")

app = typer.Typer(help="The remote's side, without a service manager.", no_args_is_help=True)


@app.callback()
def _remote() -> None:
    """Keep ``run`` a command of its own."""


@app.command("run")
def remote_run(
    root: Annotated[Path, typer.Option(help="Where etc/sra, run/sra and the rest are, or get made.")] = Path("/"),
    log_level: Annotated[str, typer.Option(help="error, warning, info, debug or traffic.")] = "info",
) -> None:
    """Run srad and a virtual card process for each reader in the foreground; Ctrl-C ends them all.

    As root, each runs as an unprivileged user of its own. The smart card service (pcscd) is the machine's; its
    readers are described in docs/linux.md.

    Example: sra remote run --root /tmp/trial
    """
    logs.set_up(log_level, sys.stderr)
    paths = Paths(root.absolute())
    config = load_daemon_config(paths.config)
    tls_identity.load(paths.identity)  # an error here is one line, not one for every try to start srad
    users = _users()
    _check_programs(users)
    _make_folders(paths, users)
    os.environ[logs.FILE_VARIABLE] = str(logs.begin_file(log_file(paths)))
    logs.set_up(log_level, sys.stderr)
    also = [] if users.daemon.uid is None else [keep_fresh(paths)]
    asyncio.run(_supervise(_processes(paths, config, users, log_level), also))


@dataclass(frozen=True)
class ProcessUser:
    """Who a process runs as; ``None`` for who runs this one."""

    uid: int | None
    gid: int | None


@dataclass(frozen=True)
class Users:
    """The users of srad and of the virtual card."""

    daemon: ProcessUser
    card: ProcessUser


def _users() -> Users:
    if os.geteuid() != 0:
        return Users(ProcessUser(None, None), ProcessUser(None, None))
    return Users(_user(DAEMON_USER, DAEMON_UID), _user(CARD_USER, CARD_UID))


def _user(name: str, number: int) -> ProcessUser:
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam(name)
        return ProcessUser(entry.pw_uid, entry.pw_gid)
    return ProcessUser(number, number)


def _check_programs(users: Users) -> None:
    """Raise ``UsageError`` where one of the users can't read what it has to run; to find out, it is tried."""
    for name, user in ((DAEMON_USER, users.daemon), (CARD_USER, users.card)):
        if user.uid is not None and not _can_run(user):
            raise UsageError(
                f"The user {name} can't run the programs in {Path(sys.executable).parent}. "
                "Install the package, or move the checkout to where everybody can read it, such as /opt or /srv."
            )


def _can_run(user: ProcessUser) -> bool:
    argv = [sys.executable, "-P", "-c", "import sra.config"]
    try:
        tried = subprocess.run(
            argv, user=user.uid, group=user.gid, extra_groups=[],
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
    except PermissionError:
        return False
    return tried.returncode == 0


def _make_folders(paths: Paths, users: Users) -> None:
    """The folders of this run; each belongs to the one process that writes in it."""
    files.make_folder(paths.run, 0o755)
    _own_folder(paths.readers, users.card, 0o755)
    _own_folder(paths.daemon_run, users.daemon, 0o755)
    _own_folder(paths.audit.parent, users.daemon, 0o750)
    _own_folder(paths.state, users.daemon, 0o755)
    files.replace(paths.local_secret, secrets.token_bytes(32), 0o600)
    if users.daemon.uid is not None and users.card.gid is not None:
        os.chown(paths.local_secret, users.daemon.uid, users.card.gid)
        paths.local_secret.chmod(0o440)
        key = paths.identity / tls_identity.KEY_FILE
        os.chown(key, 0, users.daemon.gid or 0)
        key.chmod(0o640)
        for log in (paths.audit, refusals_path(paths.audit)):
            _give_log(log)


def _own_folder(folder: Path, user: ProcessUser, mode: int) -> None:
    files.make_folder(folder, mode)
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link; it has to be a folder.")
    folder.chmod(mode)
    _give(folder, user)


def _give_log(log: Path) -> None:
    """Give the log, if it is there, to whom its folder belongs: the service, which could have left a link there."""
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        files.give_to_folder_owner(descriptor, log.parent)
    finally:
        os.close(descriptor)


def _give(path: Path, user: ProcessUser) -> None:
    if user.uid is not None and user.gid is not None:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


@dataclass(frozen=True)
class Process:
    """A process to be kept running."""

    name: str
    argv: tuple[str, ...]
    user: ProcessUser


def _processes(paths: Paths, config: DaemonConfig, users: Users, log_level: str) -> list[Process]:
    common = ("--root", str(paths.root), "--log-level", log_level)
    srad = Process("srad", (*_python("sra.programs.srad"), *common), users.daemon)
    cards = [
        Process(f"sra-card {number}", (*_python("sra.programs.sra_card"), "--reader", str(number), *common), users.card)
        for number in range(config.readers)
    ]
    return [srad, *cards, *_screen(users, common)]


def _screen(users: Users, common: tuple[str, ...]) -> list[Process]:
    """The helper for the screen, where there is somebody to share it with."""
    with contextlib.suppress(KeyError):
        pwd.getpwnam(SCREEN_USER)
        if users.daemon.uid is not None:
            argv = (*_python("sra.programs.sra_screen"), "--daemon-uid", str(users.daemon.uid), *common)
            return [Process("sra-screen", argv, ProcessUser(None, None))]
    return []


def _python(module: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-c", f"import {module}; {module}.main()")


async def _supervise(processes: list[Process], also: Sequence[Coroutine[None, None, None]] = ()) -> None:
    """Keep them running, and do ``also``, until a signal, or until one can't be started; then end them all.

    Each ends in its own time.
    """
    keeping = [asyncio.create_task(each) for each in (*map(_keep, processes), *also)]

    def end() -> None:
        for task in keeping:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    await asyncio.wait(keeping, return_when=asyncio.FIRST_EXCEPTION)
    end()
    for ended in await asyncio.gather(*keeping, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended


async def _keep(process: Process) -> None:
    """Run the process, and again when it ends, until cancelled; then end it."""
    while True:
        running = await asyncio.create_subprocess_exec(
            *process.argv,
            user=process.user.uid,
            group=process.user.gid,
            extra_groups=None if process.user.uid is None else [],
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[int(os.environ[logs.FILE_VARIABLE])],
            preexec_fn=_end_with_parent,
        )
        log.info("%s runs as process %d", process.name, running.pid)
        try:
            status = await running.wait()
        except asyncio.CancelledError:
            await stop(running, STOP_DEADLINE)
            raise
        log.error("%s ended with status %d and is started again", process.name, status)
        await asyncio.sleep(RESTART_WAIT)


def _end_with_parent() -> None:
    """In the new process, as its own user: have the kernel end it when ``sra remote run`` is gone, killed perhaps.

    Otherwise srad would hold the port, and serve, with nobody to end it. Only Linux has this.
    """
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGTERM)
