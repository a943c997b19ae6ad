import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from lab.licenses import a_license, files_of
from sra.audit import Audit
from sra.paths import AdminPaths, Paths
from sra.programs.run import status
from sra.transport import tls_identity
from sra.transport.known_remotes import KnownRemotes, address
from tests.cli.remote_in_thread import remote_in_thread
from tests.cli.whole import app


def facts(capsys: pytest.CaptureFixture[str], *words: str, expected: int = 0) -> dict[str, Any]:
    """What a program reads; the exit status says whether anything is wrong, and so does ``ok``."""
    assert status(app, ["status", "--json", *words]) == expected
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert shown.pop("ok") is (expected == 0)
    assert status(app, ["status", *words]) == expected
    capsys.readouterr()
    return shown


def test_a_remote_that_was_never_set_up_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "etc/sra").mkdir(parents=True)
    (tmp_path / "etc/sra/srad.toml").write_text('listen = ["127.0.0.1"]\nport = 1\n')
    shown = facts(capsys, "--root", str(tmp_path), expected=1)
    assert (shown["running"], shown["connections"], shown["virtual_cards"]) == (False, 0, 0)
    assert shown["pairings"] == {"ok": True, "value": 0}
    for name, told in (("license", "has no license"), ("identity", "sra identity generate")):
        assert set(shown[name]) == {"ok", "problem"}
        assert shown[name]["ok"] is False
        assert told in shown[name]["problem"]


def test_a_remote_that_runs_tells_who_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in files_of(a_license()).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    made = tls_identity.generate(Paths(tmp_path).identity, ["remote"], datetime.now(UTC))
    with remote_in_thread(readers=2) as running:
        ports = f"port = {running.remote.port}\nlocal_port = {running.remote.local_port}\n"
        (tmp_path / "etc/sra/srad.toml").write_text(f'listen = ["127.0.0.1"]\n{ports}')
        shown = facts(capsys, "--root", str(tmp_path))
        Paths(tmp_path).pairings.write_text("rubbish")
        damaged = facts(capsys, "--root", str(tmp_path), expected=1)
    assert (shown["running"], shown["virtual_cards"]) == (True, 2)
    assert shown["identity"] == {"ok": True, "value": made.fingerprint}
    assert shown["license"]["value"].startswith("The lab, until ")
    assert (damaged["running"], damaged["pairings"]["ok"], damaged["identity"]["ok"]) == (True, False, True)


def test_an_admin_s_machine_tells_where_its_things_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sra.cli.status.Paths", lambda root: Paths(tmp_path / "none" / root.name))
    paths = AdminPaths(tmp_path)
    KnownRemotes(paths.known_remotes).remember(address("r"), "SHA256:" + ":".join(["00"] * 32), date(2026, 1, 2))
    shown = facts(capsys, "--config-dir", str(tmp_path))
    known = {"ok": True, "value": 1}
    assert shown == {"remote": False, "settings": str(tmp_path), "known_remotes": known, "audit_log": "none yet"}
    Audit(paths.audit).record("connected")
    assert facts(capsys, "--config-dir", str(tmp_path))["audit_log"] == str(paths.audit)
    assert status(app, ["status", "--config-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["remote", "no"]
