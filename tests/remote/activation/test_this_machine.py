"""What an activation asks of the machine that it runs on."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sra.errors import UsageError
from sra.remote.activation import this_machine as activation_machine
from sra.remote.activation.changed_machine import ActivationError, LoginScreen
from sra.remote.screen_sharing.x11 import displays_linux
from sra.remote.screen_sharing.x11.displays_linux import RunningProcess
from sra.transport import tls_identity


def test_a_program_that_is_not_installed_fails() -> None:
    machine = activation_machine.this_machine()
    assert machine.succeeds(["true"])
    assert not machine.succeeds(["false"])
    with pytest.raises(ActivationError, match="not installed"):
        machine.run(["a-program-that-nobody-has"])


@pytest.mark.parametrize(
    ("python", "told"),
    [("/usr/bin/python3", "srad is missing"), ("/root/checkout/.venv/bin/python3", None), ("/opt/a b/python3", None)],
)
def test_services_need_programs_that_they_can_read(
    monkeypatch: pytest.MonkeyPatch, python: str, told: str | None
) -> None:
    monkeypatch.setattr("sys.executable", python)
    if told is None:
        monkeypatch.setattr(Path, "exists", lambda _: True)
    with pytest.raises(ActivationError, match=told or "The services' users can't read"):
        activation_machine.programs()


def test_programs_that_everybody_can_read_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/usr/bin/python3")
    monkeypatch.setattr(Path, "exists", lambda _: True)
    assert activation_machine.programs() == Path("/usr/bin")


@pytest.mark.parametrize(
    ("argv", "is_somebody_there", "expected"),
    [
        ("/sbin/init", True, LoginScreen.NONE),
        ("/usr/bin/Xvfb :0", False, LoginScreen.LOGIN_WINDOW),
        ("/usr/bin/Xvfb :0", True, LoginScreen.IN_USE),
        ("/usr/bin/gnome-shell", False, LoginScreen.IN_USE),
    ],
)
def test_a_screen_is_in_use_when_somebody_is_logged_in_there(
    monkeypatch: pytest.MonkeyPatch, argv: str, is_somebody_there: bool, expected: LoginScreen
) -> None:
    running = [RunningProcess(1, 0, tuple(argv.split()))]
    monkeypatch.setattr(displays_linux, "processes", lambda: running)
    monkeypatch.setattr(displays_linux, "is_somebody_logged_in", lambda _: is_somebody_there)
    assert activation_machine.this_machine().screen() is expected


@contextmanager
def tls_server(context_of: tls_identity.TlsIdentity) -> Iterator[int]:
    """A server with this identity, for one connection after the other."""
    context = tls_identity.server_context(context_of, ["sra/1"])
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                    with context.wrap_socket(connection, server_side=True) as secured:
                        secured.recv(1)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


def test_srad_is_waited_for_and_asked_for_its_certificate(tmp_path: Path) -> None:
    made = tls_identity.generate(tmp_path, ["localhost"], datetime.now(UTC))
    with tls_server(made) as port:
        assert activation_machine.served(port) == made.certificate
        activation_machine.wait_for_srad(port, made.certificate, lambda: pytest.fail("it was started again"))


def test_a_srad_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation_machine, "ANSWER_DEADLINE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(UsageError, match="journalctl -u srad"):
        activation_machine.wait_for_srad(port, b"", lambda: None)
