import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab.licenses import DAY, a_license, files_of
from sra import checks
from sra.audit import Audit
from sra.checks import Finding
from sra.config import DaemonConfig
from sra.paths import Paths
from sra.remote.activation import virtual_screen_linux
from sra.remote.build import latest_time
from sra.remote.checks import remote_checks as doctor_remote
from sra.remote.checks.remote_checks import CHECKS, CheckedRemote, listen_address
from sra.remote.screen_sharing.x11 import displays_linux
from sra.remote.screen_sharing.x11.displays_linux import RunningProcess
from sra.transport import tls_identity


@pytest.fixture
def remote(tmp_path: Path) -> CheckedRemote:
    """A remote that has an identity and a license, and does not run."""
    made = CheckedRemote(Paths(tmp_path))
    tls_identity.generate(made.paths.identity, ["remote"], datetime.now(UTC))
    put(made, **files_of(a_license()))
    return made


def put(remote: CheckedRemote, **texts: str) -> None:
    for name, text in texts.items():
        path = remote.paths.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def look(name: str, remote: CheckedRemote) -> Finding | None:
    """What one check finds."""
    return next(iter(checks.run([check for check in CHECKS if check.name == name], remote)), None)


def wrong(name: str, remote: CheckedRemote) -> tuple[str, str]:
    finding = look(name, remote)
    assert finding is not None
    assert not finding.ok
    return finding.text, finding.command


def right(name: str, remote: CheckedRemote) -> str:
    finding = look(name, remote)
    assert finding is not None
    assert finding.ok, finding.text
    return finding.text


def test_the_names_of_the_checks_are_different() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)


def test_commands_are_for_the_remote_that_is_looked_at(remote: CheckedRemote) -> None:
    assert remote.sra("pair A") == f"sra pair A --root {remote.paths.root}"
    assert remote.start == f"sra remote run --root {remote.paths.root}"
    assert CheckedRemote(Paths()).sra("pair A") == "sra pair A"


def test_a_service_is_started_as_one(monkeypatch: pytest.MonkeyPatch, remote: CheckedRemote) -> None:
    monkeypatch.setattr(doctor_remote, "is_service", lambda: True)
    assert CheckedRemote(Paths()).start == "systemctl restart sra.target"
    assert remote.start.startswith("sra remote run")


def test_settings_are_shown_or_what_is_wrong_with_them(remote: CheckedRemote) -> None:
    assert right("settings", remote) == "ports 4116 and 4117, 2 readers"
    put(remote, **{"etc/sra/srad.toml": "port = true\n"})
    text, command = wrong("settings", remote)
    assert "srad.toml" in text
    assert command == f"editor {remote.paths.config}"
    assert remote.config == DaemonConfig()


def test_an_identity_that_is_missing_or_has_expired(remote: CheckedRemote) -> None:
    assert right("identity", remote).startswith("SHA256:")
    key, certificate = (remote.paths.identity / name for name in ("key.pem", "certificate.pem"))
    key.chmod(0o644)
    assert wrong("identity", remote)[1] == f"chmod o= {key}"
    certificate.unlink()
    key.chmod(0o640)
    assert wrong("identity", remote)[1] == f"sra identity generate --force --root {remote.paths.root}"
    shutil.rmtree(remote.paths.identity)
    assert wrong("identity", remote)[1] == f"sra identity generate --root {remote.paths.root}"
    tls_identity.generate(remote.paths.identity, ["remote"], datetime.now(UTC) - timedelta(days=1000))
    text, command = wrong("identity", remote)
    assert "expired on" in text
    assert command == f"sra identity generate --renew --root {remote.paths.root}"


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        (("::", "0.0.0.0"), "127.0.0.1"),
        (("::",), "::1"),
        (("192.0.2.7", "2001:db8::7"), "192.0.2.7"),
        (("127.0.0.1",), "127.0.0.1"),
    ],
)
def test_a_listener_is_asked_where_it_listens(listen: tuple[str, ...], address: str) -> None:
    assert listen_address(DaemonConfig(listen=listen)) == address


def test_a_port_that_nobody_knows_is_not_looked_at(remote: CheckedRemote) -> None:
    put(remote, **{"etc/sra/srad.toml": "port = 0\nlocal_port = 0\n"})
    assert [look(name, remote) for name in ("admins' port", "local port", "virtual cards")] == [None, None, None]


def test_a_license_and_the_keys_of_issuers(remote: CheckedRemote) -> None:
    assert right("license", remote).startswith("The lab, until ")
    put(remote, **{"etc/sra/trust/license.d/other.pem": "rubbish"})
    text, command = wrong("license", remote)
    assert "other.pem is not a public key" in text
    assert command == f"sra license status --root {remote.paths.root}"
    put(remote, **files_of(a_license(ends=DAY)))
    assert "expired on 1970-01-02" in wrong("license", remote)[0]


def test_accounts_may_come_from_attributes_alone(remote: CheckedRemote) -> None:
    assert wrong("pairings", remote)[0] == "No card is paired with an account."
    remote.paths.attribute_mapping.write_text("a mapping")
    assert right("pairings", remote) == "0 cards are paired"


def test_a_policy_that_demands_an_authority_needs_one(remote: CheckedRemote) -> None:
    assert right("policy", remote) == "a paired key is enough"
    put(remote, **{"etc/sra/srad.toml": '[policy]\ncertificates = "ca"\n'})
    assert "has no authority: nobody gets in" in wrong("policy", remote)[0]
    shutil.copy(remote.paths.identity / "certificate.pem", remote.paths.trust / "authority.pem")
    assert "is none of an authority" in wrong("policy", remote)[0]


def test_a_screen_that_nobody_shows_needs_a_virtual_one(remote: CheckedRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look("screen", remote) is None
    put(remote, **{"run/sra/screen/helper": ""})
    running: list[RunningProcess] = []
    monkeypatch.setattr(displays_linux, "processes", lambda: running)
    text, command = wrong("screen", remote)
    assert "no X display runs" in text
    assert command == "sra activate --virtual-screen"
    put(remote, **{virtual_screen_linux.SETTINGS.removeprefix("/"): ""})
    assert wrong("screen", remote)[1] == "systemctl restart lightdm.service"
    running.append(RunningProcess(1, 1000, ("/usr/bin/gnome-shell",)))
    assert "Wayland" in wrong("screen", remote)[0]
    assert wrong("screen", remote)[1] == ""
    running.append(RunningProcess(2, 105, ("/usr/bin/sway",)))
    assert right("screen", remote) == "the session of sway can be shared"
    running[:] = [RunningProcess(2, 0, ("/usr/bin/Xvfb", ":7"))]
    assert right("screen", remote) == "display :7 can be shared"
    put(remote, **{"etc/sra/srad.toml": "[screen]\nenabled = false\n"})
    assert look("screen", remote) is None


def test_a_login_s_file_that_others_may_write_is_named_with_the_command(remote: CheckedRemote) -> None:
    put(remote, **{"etc/pam.d/su": "auth sufficient pam_rootok.so\n"})
    stack = remote.paths.root / "etc/pam.d/su"
    stack.chmod(0o666)
    assert wrong("logins", remote)[1] == f"chmod go-w {stack}"


def test_pairings_that_others_may_write_are_named_with_the_command(remote: CheckedRemote) -> None:
    put(remote, **{"etc/sra/pairings.toml": "rubbish"})
    assert wrong("pairings", remote)[1] == f"editor {remote.paths.pairings}"
    remote.paths.pairings.chmod(0o666)
    assert wrong("pairings", remote)[1] == f"chmod go-w {remote.paths.pairings}"


def test_a_clock_that_is_behind_is_wrong(remote: CheckedRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    right("clock", remote)
    latest = latest_time(remote.paths)
    latest.accept(time.time() + 300)
    right("clock", remote)
    latest.accept(time.time() + DAY)
    text, command = wrong("clock", remote)
    assert "timedatectl set-ntp true" in text
    assert command == f"sra license clock --accept --root {remote.paths.root}"
    (remote.paths.state / "latest-time").write_text("rubbish")
    text, command = wrong("clock", remote)
    assert "is not a time" in text
    assert command == f"rm {remote.paths.state / 'latest-time'}"
    (remote.paths.state / "latest-time").unlink()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert "The clock shows 1970-01-01" in wrong("clock", remote)[0]


def test_the_audit_log_needs_room(remote: CheckedRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    assert right("audit log", remote).startswith("0 files")
    Audit(remote.paths.audit).record("start")
    assert right("audit log", remote).startswith("1 file, ")
    monkeypatch.setattr(doctor_remote, "MIN_FREE", 2**80)
    text, command = wrong("audit log", remote)
    assert f"{remote.paths.audit.parent} has room for" in text
    assert command == f"df -h {remote.paths.audit.parent}"


def test_permissions_that_are_too_wide_are_named_with_the_file(remote: CheckedRemote) -> None:
    right("permissions", remote)
    key = remote.paths.identity / tls_identity.KEY_FILE
    for path, mode, command in (
        (remote.paths.etc, 0o777, "chmod go-w"),
        (remote.paths.identity, 0o775, "chmod go-w"),
        (remote.paths.trust / "license.d", 0o757, "chmod go-w"),
        (key, 0o644, "chmod o="),
        (remote.paths.profiles, 0o700, "chmod 755"),
    ):
        before = path.stat().st_mode & 0o777
        path.chmod(mode)
        assert wrong("permissions", remote)[1] == f"{command} {path}"
        path.chmod(before)
    right("permissions", remote)


def test_a_folder_of_somebody_else_is_named(remote: CheckedRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = remote.paths.profiles.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: 0)
    if owner == 0:
        os.chown(remote.paths.profiles, 65534, -1)
        assert wrong("permissions", remote)[1] == f"chown root {remote.paths.profiles}"
    else:
        assert wrong("permissions", remote)[1] == f"chown root {remote.paths.etc}"


def test_versions_are_told(remote: CheckedRemote) -> None:
    assert right("versions", remote).startswith("sra ")
