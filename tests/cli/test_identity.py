import json
import os
from pathlib import Path

import pytest

from sra.cli.main import app
from sra.cli.run import status
from sra.config import Paths
from sra.transport import tls_identity


def run(root: Path, *arguments: str) -> int:
    return status(app, ["identity", *arguments, "--root", str(root)])


def test_what_is_generated_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "generate", "--host", "remote.example.com", "--host", "192.0.2.7") == 0
    generated = capsys.readouterr().out
    assert run(tmp_path, "show") == 0
    assert capsys.readouterr().out == generated
    identity = tls_identity.load(Paths(tmp_path).identity)
    assert identity.fingerprint in generated
    assert "remote.example.com, 192.0.2.7" in generated


def test_json_has_the_same_facts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "generate", "--host", "a")
    capsys.readouterr()
    assert run(tmp_path, "show", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    identity = tls_identity.load(Paths(tmp_path).identity)
    assert shown["fingerprint"] == identity.fingerprint
    assert shown["names"] == ["a"]
    assert shown["folder"] == str(identity.folder)


def test_the_machine_s_own_name_is_the_default(tmp_path: Path) -> None:
    assert run(tmp_path, "generate") == 0
    assert tls_identity.load(Paths(tmp_path).identity).names == (os.uname().nodename,)


def test_an_identity_is_only_replaced_by_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "generate")
    before = tls_identity.load(Paths(tmp_path).identity)
    assert run(tmp_path, "generate") == 2
    assert "--force" in capsys.readouterr().err
    assert tls_identity.load(Paths(tmp_path).identity) == before
    assert run(tmp_path, "generate", "--force") == 0
    assert tls_identity.load(Paths(tmp_path).identity) != before


def test_what_is_not_there_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "show") == 2
    assert "sra identity generate" in capsys.readouterr().err


def test_what_is_no_host_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "generate", "--host", "a b") == 2
    assert "neither a host name nor an IP address" in capsys.readouterr().err
