"""What ``sra doctor`` says of OpenSC; with readers and cards it is tested in tests/system/test_doctor.py."""

from pathlib import Path

import pytest

from sra.checks import WrongError
from sra.remote.checks.card_checks import check_opensc, slots_in

SAID = """\
Available slots:
Slot 0 (0x0): Secure Remote Access 00 00
  token label        : Slot 9 (0x9): Secure Remote Access 01 00
  token manufacturer : piv_II
Slot 1 (0x1): Secure Remote Access 00 00
  token label        : of its second PIN
Slot 2 (0x4): Secure Remote Access 01 00
  (empty)
Slot 3 (0x8): Another reader 02 00
  (token not recognized)
"""


def test_each_reader_has_a_card_that_is_known_or_none() -> None:
    assert slots_in(SAID) == {
        "Secure Remote Access 00 00": True, "Secure Remote Access 01 00": False, "Another reader 02 00": False,
    }  # fmt: skip
    assert slots_in("") == {}


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "opensc-pkcs11.so sees " in check_opensc()
    with pytest.raises(WrongError, match=r"opensc-pkcs11\.so is missing") as caught:
        check_opensc(["nowhere/*.so"])
    assert caught.value.command == "apt-get install opensc opensc-pkcs11"
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(WrongError, match="pkcs11-tool and opensc-tool"):
        check_opensc()


def test_a_module_that_can_not_be_loaded_is_found_out(tmp_path: Path) -> None:
    module = tmp_path / "opensc-pkcs11.so"
    module.write_text("garbage")
    with pytest.raises(WrongError, match=r"can't be used: .*file too short") as caught:
        check_opensc([str(module.relative_to("/"))])
    assert caught.value.command == "apt-get install --reinstall opensc-pkcs11"
