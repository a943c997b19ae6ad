import json
from datetime import date
from pathlib import Path

import pytest

from sra.errors import RefusalCode, RefusedError
from sra.identity.x509_reading import fingerprint
from sra.paths import AdminPaths, Paths
from sra.programs.run import status
from sra.transport.known_remotes import KnownRemotes, address
from tests.cli.remote_in_thread import RemoteInThread, remote_in_thread
from tests.cli.whole import app
from tests.loopback import HOST, identity


class Doctor:
    """``sra doctor`` of an admin, and what it printed."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys

    def ask(self, *words: str) -> tuple[int, dict[str, dict[str, object]]]:
        options = ["--json", "--config-dir", str(self.folder), "--cards-dir", str(self.folder / "cards")]
        ended = status(app, ["doctor", *words, *options])
        return ended, {each["check"]: each for each in json.loads(self.capsys.readouterr().out)}

    def remote(self, running: RemoteInThread) -> dict[str, dict[str, object]]:
        """What it finds of the remote; cards are not what this is about."""
        found = self.ask(f"{HOST}:{running.remote.port}")[1]
        return {name: found[name] for name in found if name not in {"settings", "cards", "remotes", "versions"}}


@pytest.fixture
def doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Doctor:
    return Doctor(tmp_path, capsys)


def test_a_remote_that_is_in_order(doctor: Doctor) -> None:
    with remote_in_thread() as running:
        found = doctor.remote(running)
    assert [name for name in found if found[name]["ok"]] == ["reached", "TLS", "fingerprint", "protocol", "license"]
    assert "is new here" in str(found["fingerprint"]["text"])


def test_what_is_remembered_is_compared(doctor: Doctor) -> None:
    known = KnownRemotes(AdminPaths(doctor.folder).known_remotes)
    with remote_in_thread() as running:
        where = address(HOST, running.remote.port)
        known.remember(where, identity().fingerprint, date(2026, 1, 2))
        assert "is remembered" in str(doctor.remote(running)["fingerprint"]["text"])
        known.forget(HOST)
        known.remember(where, fingerprint(b"another"), date(2026, 1, 2))
        found = doctor.remote(running)
    assert list(found) == ["reached", "TLS", "fingerprint"]
    assert found["fingerprint"]["command"] == f"sra trust forget {where}"


def test_an_authority_that_decides_is_named(doctor: Doctor) -> None:
    AdminPaths(doctor.folder).config.write_text('ca_file = "/etc/ours.pem"\n')
    with remote_in_thread() as running:
        assert "/etc/ours.pem decides" in str(doctor.remote(running)["fingerprint"]["text"])


@pytest.mark.parametrize(("code", "check"), [(RefusalCode.VERSION, "protocol"), (RefusalCode.LICENSE, "license")])
def test_what_the_remote_says_is_shown(doctor: Doctor, code: RefusalCode, check: str) -> None:
    with remote_in_thread() as running:
        running.remote.refusal = RefusedError(code, "This is why.")
        found = doctor.remote(running)
    assert list(found)[-1] == check
    assert (found[check]["ok"], found[check]["text"]) == (False, "This is why.")


def test_without_a_card_that_is_wrong(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sra.admin.admin_checks.card_backends", lambda *_: {})
    with remote_in_thread() as running:
        ended, found = doctor.ask(f"{HOST}:{running.remote.port}")
    assert ended == 1
    assert (found["cards"]["ok"], found["cards"]["text"], found["cards"]["command"]) == (
        False,
        "There is no card.",
        "sra cards",
    )


def test_a_remote_s_folder_is_looked_at_as_a_remote(doctor: Doctor) -> None:
    ended, found = doctor.ask("--root", str(doctor.folder / "remote"))
    assert ended == 1
    assert "virtual cards" in found
    assert str(found["identity"]["command"]) == f"sra identity generate --root {doctor.folder / 'remote'}"


def test_a_file_that_is_no_certificate_is_an_error(doctor: Doctor, capsys: pytest.CaptureFixture[str]) -> None:
    rubbish = doctor.folder / "rubbish"
    rubbish.write_text("rubbish")
    assert status(app, ["doctor", "--root", str(doctor.folder), "--certificate", str(rubbish)]) == 2
    assert "Name a card's certificate" in capsys.readouterr().err


def test_a_host_that_is_none_is_an_error() -> None:
    assert status(app, ["doctor", "[::1"]) == 2


def test_a_machine_that_is_no_remote_is_an_admin_s(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sra.cli.doctor.Paths", lambda root: Paths(doctor.folder / "none" / root.name))
    assert list(doctor.ask()[1]) == ["settings", "cards", "remotes", "versions"]
