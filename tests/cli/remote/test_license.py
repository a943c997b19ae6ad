import json
import os
import plistlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.licenses import DAY, a_license, files_of
from sra.programs.run import status
from tests.cli.whole import app

PASSPHRASE = b"correct horse\n"


class Fleet:
    """A folder where licenses are issued, and a remote's folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.key, self.public = folder / "fleet.pem", folder / "fleet.pub.pem"
        self.profile = folder / "it.mobileconfig"
        self.root = folder / "remote"
        self.capsys = capsys

    def run(self, *arguments: str | Path) -> tuple[int, str, str]:
        """The exit status, the output and the errors of ``sra license``."""
        ended = status(app, ["license", *map(str, arguments)])
        return ended, *self.capsys.readouterr()

    def secretly(self, *arguments: str | Path) -> tuple[int, str, str]:
        """The same with the passphrase."""
        reading, writing = os.pipe()
        os.write(writing, PASSPHRASE)
        os.close(writing)
        return self.run(*arguments, "--key", self.key, "--passphrase-fd", str(reading))

    def issue(self, *more: str) -> tuple[int, str, str]:
        what = ("--licensee", "Example Ltd", "--days", "30", "--machines", "5", "--out", self.profile)
        return self.secretly("issue", *what, *(more or ("--hosts", "any")))

    def install(self, *more: str | Path) -> tuple[int, str, str]:
        return self.run("install", self.profile, "--root", self.root, *more)

    def status(self, *more: str) -> tuple[int, str, str]:
        return self.run("status", "--root", self.root, *more)

    def put(self, **changes: object) -> None:
        for name, text in files_of(a_license(**changes)).items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fleet:
    made = Fleet(tmp_path, capsys)
    assert made.secretly("keygen")[0] == 0
    return made


def test_from_a_key_to_a_remote_that_may_be_connected_to(fleet: Fleet) -> None:
    assert fleet.issue()[0] == 0
    ended, out, _ = fleet.install("--issuer", fleet.public)
    assert ended == 0
    assert str(fleet.root / "etc/sra/profiles/license.mobileconfig") in out
    ended, out, _ = fleet.status()
    assert ended == 0
    assert out.splitlines()[0].split(maxsplit=1) == ["licensee", "Example Ltd"]
    shown = json.loads(fleet.status("--json")[1])
    assert (shown["valid"], shown["hosts"], shown["machines"]) == (True, "any", 5)
    lasts = datetime.fromisoformat(shown["ends"]) - datetime.now(UTC)
    assert 29.9 < lasts.total_seconds() / DAY < 30.1


def test_the_issuer_s_key_is_needed_once(fleet: Fleet) -> None:
    fleet.issue()
    ended, _, error = fleet.install()
    assert ended == 2
    assert "is signed by no issuer that this machine trusts" in error
    assert not (fleet.root / "etc").exists()
    assert fleet.install("--issuer", fleet.public)[0] == 0
    assert fleet.install()[0] == 0


def test_the_private_key_is_not_taken_for_the_issuer_s(fleet: Fleet) -> None:
    fleet.issue()
    ended, _, error = fleet.install("--issuer", fleet.key)
    assert (ended, "not a public key" in error) == (2, True)


def test_nothing_that_would_not_hold_is_installed(fleet: Fleet) -> None:
    fleet.issue("--hosts", "somebody-else")
    ended, _, error = fleet.install("--issuer", fleet.public)
    assert (ended, "is for other machines" in error) == (2, True)
    fleet.profile.write_text("rubbish")
    ended, _, error = fleet.install("--issuer", fleet.public)
    assert (ended, "not a configuration profile" in error) == (2, True)
    fleet.profile.unlink()
    ended, _, error = fleet.install("--issuer", fleet.public)
    assert (ended, "is missing" in error) == (2, True)
    assert fleet.status()[0] == 3


def test_without_one_the_status_says_so_and_is_three(fleet: Fleet) -> None:
    ended, _, error = fleet.status()
    assert ended == 3
    assert "has no license, so nobody can connect to it" in error
    ended, out, _ = fleet.status("--json")
    shown = json.loads(out)
    assert (ended, shown["valid"], shown["problem"]) == (3, False, "none")


def test_an_expired_one_says_when(fleet: Fleet) -> None:
    fleet.put(ends=86_400)
    ended, out, error = fleet.status()
    assert ended == 3
    assert "none that holds (serial 1)" in out
    assert "expired on 1970-01-02" in error


def test_removing_it_leaves_none(fleet: Fleet) -> None:
    fleet.put()
    assert fleet.status()[0] == 0
    ended, _, said = fleet.run("remove", "--root", fleet.root)
    assert (ended, "removed" in said) == (0, True)
    assert fleet.status()[0] == 3
    ended, _, said = fleet.run("remove", "--root", fleet.root)
    assert (ended, "there was no license" in said) == (0, True)


def test_what_is_asked_for_is_what_is_issued(fleet: Fleet) -> None:
    hosts = ("--hosts", "Kiosk-*.example.com", "--hosts", "spare", "--feature", "remote-access", "--from", "2027-03-01")
    ended, out, _ = fleet.issue(*hosts)
    assert ended == 0
    assert "from 2027-02-28 until 2027-03-31 (UTC)" in out
    assert "kiosk-*.example.com, spare" in out
    assert plistlib.loads(fleet.profile.read_bytes())["PayloadOrganization"] == "Example Ltd"
    ended, _, error = fleet.install("--issuer", fleet.public)
    assert (ended, "not valid before 2027-02-28" in error) == (2, True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--hosts", "any", "--from", "tomorrow"), "not a date"),
        (("--hosts", "a host"), "No license can say that"),
        (("--hosts", ""), "No license can say that"),
        (("--hosts", "any", "--feature", "flying"), "no feature “flying”"),
        (("--hosts", "any", "--licensee", "x" * 201), "No license can say that"),
    ],
)
def test_what_no_license_can_say_is_an_error(fleet: Fleet, wrong: tuple[str, ...], said: str) -> None:
    ended, _, error = fleet.issue(*wrong)
    assert (ended, said in error) == (2, True), error
    assert not fleet.profile.exists()


def test_a_license_for_ever_ends_with_the_calendar(fleet: Fleet) -> None:
    ended, out, _ = fleet.issue("--hosts", "any", "--from", "9990-01-01", "--days", "36500")
    assert (ended, "until 9999-12-31" in out) == (0, True)


def test_a_profile_that_is_there_is_not_overwritten(fleet: Fleet) -> None:
    fleet.issue()
    before = fleet.profile.read_bytes()
    assert fleet.issue()[0] == 2
    assert fleet.profile.read_bytes() == before


def test_a_wrong_passphrase_issues_nothing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PASSPHRASE", b"wrong horse\n")
    ended, _, error = fleet.issue()
    assert (ended, "the passphrase is wrong" in error) == (2, True)


def test_without_a_file_the_key_is_in_the_settings_folder(fleet: Fleet, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, PASSPHRASE)
    os.close(writing)
    ended, out, _ = fleet.run("keygen", "--passphrase-fd", str(reading), "--config-dir", tmp_path / "mine")
    assert ended == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir() if path.suffix == ".pem") == [
        "license-issuer.pem",
        "license-issuer.pub.pem",
    ]
    assert "identifier" in out
