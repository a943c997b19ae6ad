"""Certificates with odd and malformed fields, from the door to root's map maker: refused, or everything works."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.config import load_daemon_config
from sra.errors import RefusalCode, RefusedError
from sra.identity.authorities import sort_authorities
from sra.identity.certificates import CardCertificate, parse
from sra.identity.usage import check_slot
from sra.paths import Paths
from sra.remote.accounts import ldap_directory
from sra.remote.accounts.certificate_fields import FIELDS, FieldMissingError, read_field
from sra.remote.accounts.pairing import PairingStore
from sra.remote.accounts.vouching import Vouching
from sra.remote.logins import mapping, sssd
from sra.remote.logins import refresh as logins
from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.sssd import SssdSettings
from tests.cli.login_machine import ACCOUNT, make_card, make_machine, run
from tests.identity.odd_certificates import ODD, REFUSED, certificate, library_reads
from tests.remote.accounts.issuing import Authority

OTHER = "daemon"
"""Another account that every machine has: the person who goes."""
VOUCHING = Vouching(lambda: sort_authorities([Authority().own.certificate])[0])


def work_with(card: CardCertificate) -> None:
    """Everything that is done with a certificate after the door; only a refusal may come of it."""
    steps: list[Callable[[], object]] = [
        lambda: check_slot(card),
        lambda: card.check_validity(datetime.now(UTC)),
        lambda: VOUCHING(card),
        *(lambda name=name: read_field(card, name) for name in FIELDS),
    ]
    for step in steps:
        with contextlib.suppress(RefusedError, FieldMissingError):
            step()
    assert card.display_name.isprintable()
    ldap_directory._exact_assertion(card)
    assert mapping.account_of(mapping.text_of({card.der: "ann"}).decode(), card.der) == "ann"
    rules = sssd.text_of(SssdSettings("no_ocsp", "/trusted.pem", ("su",)), {card.der: "ann"}).decode()
    assert rules.count("[certmap/") == rules.count("\nmatchrule = ") == rules.count("\nmaprule = (ann)\n") <= 1
    assert rules.isascii() or "“sra pair”" in rules


@pytest.mark.parametrize("what", REFUSED)
def test_what_can_not_be_read_is_refused_at_the_door(what: str) -> None:
    with pytest.raises(RefusedError) as caught:
        parse(REFUSED[what])
    assert caught.value.code is RefusalCode.CERTIFICATE


@pytest.mark.parametrize("what", ODD)
def test_what_passes_the_door_breaks_nothing_behind_it(what: str) -> None:
    try:
        card = parse(ODD[what])
    except RefusedError as error:
        assert error.code is RefusalCode.CERTIFICATE  # noqa: PT017 - both outcomes are right
    else:
        work_with(card)


@given(st.integers(0, len(certificate()) - 1), st.integers(0, 255), st.sampled_from(sorted(ODD)))
def test_a_certificate_with_any_byte_changed_is_refused_or_breaks_nothing(at: int, value: int, what: str) -> None:
    changed = bytearray(ODD[what])
    changed[at % len(changed)] = value
    with contextlib.suppress(RefusedError):
        work_with(parse(bytes(changed)))


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine whose logins take cards, and SSSD too, with root's card and the one of the person who goes."""
    root = make_machine(tmp_path / "machine")
    LoginPaths(root).sssd.mkdir(parents=True)
    for account in (ACCOUNT, OTHER):
        assert run(root, "pair", account, "--certificate", str(make_card(tmp_path / account))) == 0
    assert run(root, "pam", "enable", "su") == 0
    assert logins.mapped_accounts(LoginPaths(root)) == {ACCOUNT, OTHER}
    return root


def test_no_certificate_of_a_paired_person_keeps_another_one_in(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each was taken by the library, and lay with the others, when the door read less."""
    paths, login = Paths(machine), LoginPaths(machine)
    for number, der in enumerate([*REFUSED.values(), *ODD.values()]):
        for folder in (logins.paired_cards(paths), logins.seen_cards(paths)):
            folder.path.mkdir(parents=True, exist_ok=True)
            (folder.path / f"{number}.der").write_bytes(der)
    assert sum(map(library_reads, REFUSED.values())) > 20
    PairingStore(paths.pairings).pair(ACCOUNT, parse(certificate()).public_key_hash("sha256"))
    capsys.readouterr()
    assert run(machine, "unpair", OTHER) == 0
    assert logins.mapped_accounts(login) == {ACCOUNT}
    assert OTHER not in logins.text_of(login.sssd_pairings)
    assert "Traceback" not in capsys.readouterr().err
    assert run(machine, "doctor") == 1
    assert ".der is not used" in capsys.readouterr().out


def test_unpairing_takes_effect_though_everything_after_it_fails(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Paths) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(logins, "refresh", fail)
    monkeypatch.setattr(logins, "forget_unpaired", fail)
    assert run(machine, "unpair", OTHER) != 0
    assert logins.mapped_accounts(LoginPaths(machine)) == {ACCOUNT}
    assert [each.account for each in PairingStore(Paths(machine).pairings).pairings()] == [ACCOUNT]


def test_a_card_that_can_not_be_judged_keeps_no_other_out(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_daemon_config(Paths(machine).config)
    worked, before = CardCertificate.check_validity, logins.accounts_now(Paths(machine), config)
    broken = next(iter(before))

    def check(card: CardCertificate, now: datetime) -> None:
        if card.der == broken:
            raise ZeroDivisionError
        worked(card, now)

    monkeypatch.setattr(CardCertificate, "check_validity", check)
    assert logins.accounts_now(Paths(machine), config) == {der: who for der, who in before.items() if der != broken}


@pytest.mark.parametrize("what", ["x400Address", "issuer is invalid UTF-8"])
def test_such_a_certificate_is_not_paired_either(
    machine: Path, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "odd.der").write_bytes(REFUSED[what])
    assert run(machine, "pair", ACCOUNT, "--certificate", str(tmp_path / "odd.der")) == 2
    assert "can't be read" in capsys.readouterr().err


def test_what_nobody_vouches_for_is_never_added_to_what_root_paired(machine: Path, tmp_path: Path) -> None:
    """A new certificate for the paired key: srad takes it; the login does when root says so."""
    paths, login = Paths(machine), LoginPaths(machine)
    card = parse(certificate())
    PairingStore(paths.pairings).pair_certificate(OTHER, card)
    before = login.mapping.read_bytes()
    logins.seen_cards(paths).add(card)
    logins.refresh(paths)
    assert login.mapping.read_bytes() == before
    (tmp_path / "new.der").write_bytes(card.der)
    assert run(machine, "pair", OTHER, "--certificate", str(tmp_path / "new.der")) == 0
    assert mapping.account_of(logins.text_of(login.mapping), card.der) == OTHER


def test_what_an_authority_vouches_for_is_added_when_it_has_come_in(machine: Path) -> None:
    paths, authority = Paths(machine), Authority()
    paths.trust.mkdir(parents=True, exist_ok=True)
    (paths.trust / "authority.pem").write_bytes(authority.own.pem)
    card = authority.issue().card
    PairingStore(paths.pairings).pair(OTHER, card.public_key_hash("sha256"))
    logins.seen_cards(paths).add(card)
    logins.refresh(paths)
    assert mapping.account_of(logins.text_of(LoginPaths(machine).mapping), card.der) == OTHER


def test_root_is_told_what_a_pairing_by_hash_lacks(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = parse(certificate()).public_key_hash("sha256")
    assert run(machine, "pair", ACCOUNT, "--hash", digest) == 0
    wanted = f"sra pair {ACCOUNT} --certificate FILE"
    assert wanted in capsys.readouterr().err
    run(machine, "doctor")
    assert wanted in capsys.readouterr().out
