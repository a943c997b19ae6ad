"""An identity that is renewed: what the remote makes, and what an admin who knows the old one does."""

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from sra.errors import IdentityChangedError, UntrustedRemoteError
from sra.identity.x509_reading import fingerprint
from sra.transport import tls_identity
from sra.transport.known_remotes import KnownRemotes, address
from sra.transport.tls_identity import TlsIdentity, TlsIdentityError
from sra.transport.tls_trust import TrustPolicy, decide

NOW = datetime.now(UTC)
LONG_AGO = date(2020, 1, 2)
REMOTE = address("remote.example.com")


def nobody(host: str, shown: str) -> bool:
    raise AssertionError(f"a question about {host} and {shown}")


@pytest.fixture
def old(tmp_path: Path) -> TlsIdentity:
    return tls_identity.generate(tmp_path / "identity", ["remote.example.com", "192.0.2.7"], NOW)


@pytest.fixture
def known(tmp_path: Path, old: TlsIdentity) -> KnownRemotes:
    remotes = KnownRemotes(tmp_path / "known_remotes")
    remotes.remember(address("another.example.com"), fingerprint(b"another"), LONG_AGO)
    remotes.remember(REMOTE, old.fingerprint, LONG_AGO)
    return remotes


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("sra.trust")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def check(known: KnownRemotes, shown: TlsIdentity, pin: str | None = None) -> None:
    TrustPolicy(known, nobody, pin).check(REMOTE.host, REMOTE.port, shown.certificate)


def test_a_renewed_identity_has_another_key_and_the_same_names(old: TlsIdentity) -> None:
    key = (old.folder / "key.pem").read_bytes()
    new = tls_identity.renew(old.folder, NOW)
    assert new.names == old.names
    assert new.certificate != old.certificate
    assert (old.folder / "key.pem").read_bytes() != key
    assert tls_identity.load(old.folder) == new
    assert tls_identity.renew(old.folder, NOW, ["elsewhere.example.com"]).names == ("elsewhere.example.com",)


def test_an_admin_who_knows_the_old_one_accepts_it_and_says_so_in_one_line(
    known: KnownRemotes, old: TlsIdentity, said: list[str]
) -> None:
    new = tls_identity.renew(old.folder, NOW)
    check(known, new)
    assert known.find(REMOTE) == new.fingerprint
    assert said == [
        (
            "remote.example.com:4116 has renewed its identity, handed over to by the one that you trusted; "
            f"remembered is now {new.fingerprint}"
        )
    ]
    check(known, new)
    assert len(said) == 1
    assert known.find(address("another.example.com")) == fingerprint(b"another")
    assert [each.added > LONG_AGO for each in known.all()] == [False, True]


def test_who_has_seen_the_new_one_does_not_go_back_to_the_old(known: KnownRemotes, old: TlsIdentity) -> None:
    check(known, tls_identity.renew(old.folder, NOW))
    with pytest.raises(IdentityChangedError):
        check(known, old)


def test_who_missed_several_renewals_accepts_the_last(known: KnownRemotes, old: TlsIdentity) -> None:
    for _ in range(3):
        new = tls_identity.renew(old.folder, NOW)
    check(known, new)
    assert known.find(REMOTE) == new.fingerprint


def test_a_new_identity_without_a_hand_over_stays_a_refusal(
    known: KnownRemotes, old: TlsIdentity, said: list[str]
) -> None:
    changed = tls_identity.generate(old.folder, ["remote.example.com"], NOW, replace=True)
    with pytest.raises(IdentityChangedError):
        check(known, changed)
    with pytest.raises(IdentityChangedError):
        check(known, tls_identity.renew(old.folder, NOW))
    assert known.find(REMOTE) == old.fingerprint
    assert said == []


def test_a_hand_over_by_somebody_else_s_identity_is_refused(known: KnownRemotes, tmp_path: Path) -> None:
    theirs = tls_identity.generate(tmp_path / "theirs", ["remote.example.com"], NOW)
    with pytest.raises(IdentityChangedError):
        check(known, tls_identity.renew(theirs.folder, NOW))


def test_a_fingerprint_that_was_given_is_not_handed_over(known: KnownRemotes, old: TlsIdentity) -> None:
    new = tls_identity.renew(old.folder, NOW)
    with pytest.raises(UntrustedRemoteError):
        check(known, new, pin=old.fingerprint)
    assert known.find(REMOTE) == old.fingerprint


def test_the_decision_says_which_one_is_replaced(old: TlsIdentity) -> None:
    new = tls_identity.renew(old.folder, NOW)
    verified = decide(REMOTE, new.certificate, pin=None, remembered=old.fingerprint, ask=nobody)
    assert (verified.fingerprint, verified.is_new, verified.replaces) == (new.fingerprint, False, old.fingerprint)
    assert decide(REMOTE, new.certificate, pin=None, remembered=new.fingerprint, ask=nobody).replaces is None


def test_only_the_fingerprint_that_was_seen_is_replaced(known: KnownRemotes, old: TlsIdentity) -> None:
    new = tls_identity.renew(old.folder, NOW)
    with pytest.raises(IdentityChangedError):
        known.succeed(REMOTE, fingerprint(b"a third"), new.fingerprint, LONG_AGO)
    with pytest.raises(IdentityChangedError, match=r"\(none\)"):
        known.succeed(address("unknown.example.com"), old.fingerprint, new.fingerprint, LONG_AGO)
    assert known.find(REMOTE) == old.fingerprint


def test_what_is_not_there_or_can_not_sign_is_not_renewed(tmp_path: Path, old: TlsIdentity) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TlsIdentityError, match="is missing"):
        tls_identity.renew(tmp_path / "empty", NOW)
    before = old.certificate
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (old.folder / "key.pem").write_bytes(pem)
    with pytest.raises(TlsIdentityError, match="don't belong together"):
        tls_identity.renew(old.folder, NOW)
    assert (old.folder / "certificate.pem").read_bytes() == tls_identity_pem(before)


def tls_identity_pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)


def test_who_could_read_the_old_key_reads_the_new_one(old: TlsIdentity) -> None:
    (old.folder / "key.pem").chmod(0o640)
    tls_identity.renew(old.folder, NOW)
    assert (old.folder / "key.pem").stat().st_mode & 0o777 == 0o640
    (old.folder / "key.pem").chmod(0o600)
    tls_identity.generate(old.folder, ["a"], NOW, replace=True)
    assert (old.folder / "key.pem").stat().st_mode & 0o777 == 0o600
