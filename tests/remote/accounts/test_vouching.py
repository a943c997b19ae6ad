from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from sra.errors import RefusedError
from sra.remote.accounts.vouching import TrustFolder
from tests.remote.accounts.issuing import Authority

AUTHORITY = Authority()
CARD = AUTHORITY.issue().card


def test_the_authority_that_issued_a_card_vouches_for_it(tmp_path: Path) -> None:
    Authority("Another").own.write(tmp_path, "another")
    AUTHORITY.own.write(tmp_path, "authority")
    assert TrustFolder(tmp_path).vouching(CARD) == {AUTHORITY.own.sha256}


@pytest.mark.parametrize("suffix", [".der", ".cer", ".crt"])
def test_certificates_may_be_der(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"authority{suffix}").write_bytes(AUTHORITY.own.certificate.public_bytes(Encoding.DER))
    assert TrustFolder(tmp_path).vouching(CARD) == {AUTHORITY.own.sha256}


def test_nobody_vouches_without_the_authority(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RefusedError):
            TrustFolder(folder).vouching(CARD)
    Authority("Authority of the tests").own.write(tmp_path, "namesake")
    with pytest.raises(RefusedError):
        TrustFolder(tmp_path).vouching(CARD)


def test_a_card_does_not_vouch_for_itself(tmp_path: Path) -> None:
    issued = AUTHORITY.issue()
    issued.write(tmp_path, "card")
    with pytest.raises(RefusedError):
        TrustFolder(tmp_path).vouching(issued.card)


def test_a_change_in_the_folder_is_seen(tmp_path: Path) -> None:
    folder = TrustFolder(tmp_path)
    with pytest.raises(RefusedError):
        folder.vouching(CARD)
    certificate, _ = AUTHORITY.own.write(tmp_path, "authority")
    assert folder.vouching(CARD) == {AUTHORITY.own.sha256}
    certificate.unlink()
    with pytest.raises(RefusedError):
        folder.vouching(CARD)


def test_a_file_that_can_not_be_trusted_makes_no_authority(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificate, _ = AUTHORITY.own.write(tmp_path, "authority")
    (tmp_path / "garbage.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
    assert TrustFolder(tmp_path).vouching(CARD) == {AUTHORITY.own.sha256}
    assert "garbage.pem" in caplog.text
    certificate.chmod(0o666)
    with pytest.raises(RefusedError):
        TrustFolder(tmp_path).vouching(CARD)
