import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

from sra.identity import handover
from sra.paths import Paths
from sra.programs.run import status
from sra.transport import identity_choice, tls_identity
from tests.cli.whole import app


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


def test_a_renewed_identity_is_handed_over_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "generate", "--host", "a")
    before = tls_identity.load(Paths(tmp_path).identity)
    assert run(tmp_path, "generate", "--renew") == 0
    after = tls_identity.load(Paths(tmp_path).identity)
    assert after.names == ("a",)
    assert handover.replaces(after.certificate, before.fingerprint)
    assert "sra activate" in capsys.readouterr().err


def test_an_identity_is_handed_over_or_dropped_not_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "generate")
    assert run(tmp_path, "generate", "--renew", "--force") == 2
    assert "stolen" in capsys.readouterr().err


def test_without_an_identity_there_is_none_to_renew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "generate", "--renew") == 2
    assert "missing" in capsys.readouterr().err


def pkcs12_file(folder: Path, password: bytes) -> tuple[Path, tls_identity.IdentityFiles]:
    made = tls_identity.make(["imported.example.com"], datetime.now(UTC))
    key = serialization.load_pem_private_key(made.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    how = serialization.BestAvailableEncryption(password)
    certificate = x509.load_pem_x509_certificate(made.certificates)
    path = folder / "a.p12"
    path.write_bytes(pkcs12.serialize_key_and_certificates(None, key, certificate, None, how))
    return path, made


def test_an_imported_identity_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, made = pkcs12_file(tmp_path, b"correct horse")
    reading, writing = os.pipe()
    os.write(writing, b"correct horse\n")
    os.close(writing)
    assert run(tmp_path, "import", str(path), "--password-fd", str(reading)) == 0
    os.close(reading)
    imported = capsys.readouterr().out
    assert run(tmp_path, "list", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["names"] == ["imported.example.com"]
    assert listed["sha1"] in imported
    assert listed["fingerprint"] in imported
    (candidate,) = identity_choice.in_pem(Paths(tmp_path).etc / "identities").identities
    assert candidate.files == made
    assert candidate.path.stat().st_mode & 0o777 == 0o600
    assert candidate.path.parent.stat().st_mode & 0o777 == 0o700


def test_the_list_shows_what_can_be_chosen_and_what_is_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "list") == 0
    assert "sra identity import FILE" in capsys.readouterr().out
    made = tls_identity.make(["a.example.com"], datetime.now(UTC))
    pem = tmp_path / "a.pem"
    pem.write_bytes(identity_choice.pem_file(made))
    pem.chmod(0o600)
    assert run(tmp_path, "import", str(pem)) == 0
    path, _ = pkcs12_file(Paths(tmp_path).etc / "identities", b"password")
    public = path.with_name("public.pem")
    public.write_bytes(made.key)
    public.chmod(0o644)
    capsys.readouterr()
    assert run(tmp_path, "list") == 0
    shown = capsys.readouterr()
    assert "a.example.com" in shown.out
    assert path.name in shown.out
    assert "opened with its password" in shown.out
    assert f"left out: Everybody can read the key in {public}. Run: chmod 600 {public}" in shown.err
    assert run(tmp_path, "list", "--json") == 0
    assert "chmod 600" in json.loads(capsys.readouterr().out)[-1]["problem"]


def test_a_pkcs12_file_has_its_own_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = pkcs12_file(tmp_path, b"password")
    assert run(tmp_path, "import", str(path), "--key", str(path)) == 2
    assert "leave --key out" in capsys.readouterr().err


def test_a_password_needs_a_terminal_or_a_descriptor(tmp_path: Path) -> None:
    path, _ = pkcs12_file(tmp_path, b"password")
    sra = Path(sys.executable).parent / "sra"
    command = [str(sra), "identity", "import", str(path), "--root", str(tmp_path)]
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True, check=False
    )
    assert ended.returncode == 2
    assert "--password-fd" in ended.stderr
    closed = subprocess.run([*command, "--password-fd", "9"], capture_output=True, text=True, check=False)
    assert closed.returncode == 2
    assert "descriptor 9 can't be read" in closed.stderr
