import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from sra import errors
from sra.audit import AuditError
from sra.errors import RefusalCode, SraError, UntrustedRemoteError
from sra.programs.run import EXIT_CODES, exit_code, run, status
from sra.remote.accounts.pairing import PairingFileError
from sra.system.files import FileError
from sra.transport.tls_identity import TlsIdentityError


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    logger = logging.getLogger("sra")
    before = (logger.handlers, logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before


def program(outcome: BaseException | None) -> typer.Typer:
    """A program with one command, which ends in this way."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

    @app.command()
    def command() -> None:
        if outcome is not None:
            raise outcome

    return app


def path_error(kind: type[FileError]) -> FileError:
    return kind(Path("/etc/sra/pairings.toml"), "it is broken")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SraError("x"), 1),
        (AuditError("x"), 1),
        (errors.UsageError("x"), 2),
        (path_error(FileError), 2),
        (path_error(PairingFileError), 2),
        (TlsIdentityError("x"), 2),
        (errors.RefusedError(RefusalCode.NOT_PAIRED, "x"), 3),
        (errors.CardError("x"), 4),
        (errors.NoReaderError("x"), 4),
        (errors.NoCardError("x"), 4),
        (errors.CardRemovedError("x"), 4),
        (errors.KeyMissingError("x"), 4),
        (errors.LinkError("x"), 5),
        (errors.ProtocolError("x"), 5),
        (errors.IdentityChangedError("x", "old", "new"), 6),
        (UntrustedRemoteError("x"), 6),
        (errors.PinNeededError("x"), 7),
        (errors.PinWrongError(2), 7),
        (errors.PinBlockedError(), 7),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_error_has_its_exit_status_and_its_line(
    error: SraError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(error) == code
    assert status(program(error), []) == code
    captured = capsys.readouterr()
    assert captured.err == f"sra: error: {error}\n"
    assert captured.out == ""


def every_kind(kind: type[SraError]) -> Iterator[type[SraError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from every_kind(below)


def test_every_error_of_the_product_has_an_exit_status() -> None:
    for kind in every_kind(SraError):
        assert any(ancestor in EXIT_CODES for ancestor in kind.__mro__), kind


def test_the_statuses_are_the_documented_ones() -> None:
    assert set(EXIT_CODES.values()) == set(range(1, 8))


def test_success_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(program(None), []) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("end", "code"), [(SystemExit(), 0), (SystemExit(0), 0), (SystemExit(9), 9), (SystemExit("no"), 1)]
)
def test_a_command_that_ends_by_itself_keeps_its_status(end: SystemExit, code: int) -> None:
    assert status(program(end), []) == code


def test_a_wrong_option_is_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(program(None), ["--no-such-option"]) == 2
    assert "No such option" in capsys.readouterr().err


def test_ctrl_c_is_one_hundred_and_thirty_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(program(KeyboardInterrupt()), []) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_defect_is_one_line_that_asks_for_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(program(ZeroDivisionError("division by zero")), []) == 1
    assert capsys.readouterr().err == (
        "sra: error: ZeroDivisionError: division by zero. This is a defect; please report how it came about.\n"
    )


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), errors.UsageError("x")])
def test_a_debug_log_has_the_traceback(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("sra").propagate = True
    with caplog.at_level(logging.DEBUG, "sra"):
        status(program(error), [])
    assert "Traceback" in caplog.text


def test_running_ends_the_process_with_that_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["sra"])
    with pytest.raises(SystemExit) as caught:
        run(program(errors.LinkError("x")))
    assert caught.value.code == 5
