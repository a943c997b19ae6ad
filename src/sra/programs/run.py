"""How a program ends: a command is run, and its outcome becomes an exit status and a line on stderr.

0: done. 1: unexpected. 2: can't be done as asked. 3: refused by the other side. 4: the card or its reader. 5: the link.
6: the remote is not trusted, or its identity has changed. 7: the PIN. 130: interrupted.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

import typer

from sra.errors import (
    CardError,
    IdentityChangedError,
    LinkError,
    PinBlockedError,
    PinNeededError,
    PinWrongError,
    ProtocolError,
    PukBlockedError,
    PukWrongError,
    RefusedError,
    SraError,
    UntrustedRemoteError,
    UsageError,
)

UNEXPECTED = 1
INTERRUPTED = 130
"""128 and the number of SIGINT, as shells count."""

EXIT_CODES: dict[type, int] = {
    SraError: UNEXPECTED,
    UsageError: 2,
    RefusedError: 3,
    CardError: 4,
    LinkError: 5,
    ProtocolError: 5,
    IdentityChangedError: 6,
    UntrustedRemoteError: 6,
    PinNeededError: 7,
    PinWrongError: 7,
    PinBlockedError: 7,
    PukWrongError: 7,
    PukBlockedError: 7,
}
"""Error -> exit status; an error that isn't listed has that of its nearest ancestor."""

log = logging.getLogger("sra.cli")


def print_error(text: str) -> None:
    """Say on stderr what went wrong, and what to do."""
    sys.stderr.write(f"sra: error: {text}\n")


def run_command(command: Callable[..., None]) -> NoReturn:
    """Run a program that is one command, with the arguments that it was started with, and end the process."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(command)
    run(app)


async def until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Do the work until SIGTERM or SIGINT, which cancels it and is no error; what goes wrong in it is raised."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


def run(app: typer.Typer) -> NoReturn:
    """Run a program with the arguments that it was started with, and end the process."""
    sys.exit(status(app, sys.argv[1:]))


def status(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run a program; its exit status. An error becomes a line on stderr; a debug log has its traceback."""
    try:
        app(args=list(arguments))
    except SystemExit as end:
        # None is success, and a text is not.
        return end.code if isinstance(end.code, int) else UNEXPECTED if end.code else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except SraError as error:
        log.debug("this is where it went wrong", exc_info=error)
        print_error(str(error))
        return exit_code(error)
    except Exception as error:
        log.debug("this is where it went wrong", exc_info=error)
        print_error(f"{type(error).__name__}: {error}. This is a defect; please report how it came about.")
        return UNEXPECTED
    return 0


def exit_code(error: SraError) -> int:
    """The exit status of an error."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)
