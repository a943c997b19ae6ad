"""The login's units: what an upgrade does with those of the version before."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sra.checks import WrongError
from sra.remote.checks import logins as checks
from sra.remote.logins import units

OLD = b'ExecStart=/usr/bin/python3 -I -c "import sra.cli.logins; sra.cli.logins.main()"\n'


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What systemctl was told, on a machine whose units are in ``tmp_path``."""
    told: list[tuple[str, ...]] = []
    monkeypatch.setattr(units, "UNITS", tmp_path)
    monkeypatch.setattr(units, "BOOTED", tmp_path)
    monkeypatch.setattr(units, "_run", lambda _, *arguments: told.append(arguments))
    return told


def test_an_upgrade_renews_the_units_and_makes_good_what_they_missed(
    tmp_path: Path, ran: list[tuple[str, ...]]
) -> None:
    (tmp_path / units.SERVICE).write_bytes(OLD)
    units.renew(print)
    assert (tmp_path / units.SERVICE).read_bytes() == units.unit_files(sys.executable)[units.SERVICE]
    assert ran == [("daemon-reload",), ("enable", "--now", *units.STARTED), ("start", units.SERVICE)]
    ran.clear()
    units.renew(print)
    assert ran == []


def test_where_no_login_takes_the_card_there_are_none(tmp_path: Path, ran: list[tuple[str, ...]]) -> None:
    units.renew(print)
    assert ran == []
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_tells_of_another_version_s_units(tmp_path: Path, ran: list[tuple[str, ...]]) -> None:
    units.install(print)
    assert units.outdated() == {}
    (tmp_path / units.SERVICE).write_bytes(OLD)
    with pytest.raises(WrongError, match=r"sra-logins\.service not as this version"):
        checks._check_units("sra pam enable su")
    assert ran
