import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sra.cli.remote.pairing import app
from sra.config import DaemonConfig, PolicyConfig
from sra.errors import RefusalCode, RefusedError
from sra.identity.policy import CertificatePolicy, Certificates
from sra.paths import Paths
from sra.programs.remote_setup import open_house
from sra.programs.run import status
from sra.remote.accounts.pairing import PairingStore
from sra.remote.build_license import latest_time
from sra.remote.build_policy import open_trust, policy_of, verdict
from tests.chains import Entry, card, root

NOW = datetime.now(UTC)
DATES = (NOW - timedelta(days=1), NOW + timedelta(days=1))
ROOT = root(dates=DATES)
ALICE = ROOT.issue("Alice", dates=DATES)
MALLORY = root("Stranger", dates=DATES).issue("Mallory", dates=DATES)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.trust.mkdir(parents=True)
    (paths.trust / "root.pem").write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    return paths


def revoke(paths: Paths, *certificates: x509.Certificate) -> None:
    entries = [Entry(each.serial_number) for each in certificates]
    (paths.trust / "root.crl").write_bytes(ROOT.revocation_list(entries, dates=DATES))


def test_what_is_not_set_is_the_default_policy() -> None:
    assert policy_of(PolicyConfig()) == CertificatePolicy()


def test_what_is_set_is_the_policy() -> None:
    config = PolicyConfig("ca+revocation", ("1.2.3",), ("1.3.6",), "", False, False, False, 2, 3)
    assert policy_of(config) == CertificatePolicy(
        Certificates.CA_REVOCATION, frozenset({"1.2.3"}), frozenset({"1.3.6"}), False, False, False,
        timedelta(hours=2), 3.0,
    )  # fmt: skip


def test_lists_may_have_a_folder_of_their_own(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/root.crl").write_bytes(ROOT.revocation_list(dates=DATES))
    assert open_trust(paths, PolicyConfig()).read().lists == ()
    (found,) = open_trust(paths, PolicyConfig(lists=str(tmp_path / "lists"))).read().lists
    assert found.signers == (ROOT.certificate,)


def test_the_verdict_says_each_rule_and_the_refusal(paths: Paths) -> None:
    config = PolicyConfig("ca+revocation")
    revoke(paths)
    findings, refusal = verdict(paths, config, card(ALICE))
    assert [finding.rule for finding in findings] == [
        "policy",
        "slot",
        "purpose",
        "path",
        "policies",
        "is “Alice” revoked",
    ]
    assert refusal is None
    revoke(paths, ALICE)
    findings, refusal = verdict(paths, config, card(ALICE))
    assert [finding.rule for finding in findings] == ["policy", "slot", "purpose", "path", "policies", "refused"]
    assert refusal is not None
    assert refusal.code is RefusalCode.REVOKED


def test_the_daemon_s_house_checks_the_policy(paths: Paths) -> None:
    revoke(paths)

    async def refused(config: PolicyConfig, certificate: x509.Certificate) -> RefusalCode | None:
        house = open_house(paths, DaemonConfig(policy=config), b"")
        try:
            await house.check_certificate(card(certificate))
        except RefusedError as error:
            return error.code
        return None

    for config, expected in (
        (PolicyConfig(), None),
        (PolicyConfig("ca"), RefusalCode.UNTRUSTED),
        (PolicyConfig("ca+revocation"), RefusalCode.UNTRUSTED),
    ):
        assert asyncio.run(refused(config, MALLORY)) is expected
        assert asyncio.run(refused(config, ALICE)) is None
    revoke(paths, ALICE)
    assert asyncio.run(refused(PolicyConfig("ca+revocation"), ALICE)) is RefusalCode.REVOKED


def test_an_authority_or_a_list_that_expired_stays_so_when_the_clock_is_set_back(paths: Paths) -> None:
    """The card itself is good for longer than what it rests on."""
    revoke(paths)
    lasting = ROOT.issue("Ann", dates=(DATES[0], NOW + timedelta(days=9)))
    latest_time(paths).accept((NOW + timedelta(days=2)).timestamp())

    async def refused(config: PolicyConfig) -> RefusalCode | None:
        house = open_house(paths, DaemonConfig(policy=config), b"")
        card(lasting).check_validity(house.now())
        try:
            await house.check_certificate(card(lasting))
        except RefusedError as error:
            return error.code
        return None

    assert asyncio.run(refused(PolicyConfig())) is None
    assert asyncio.run(refused(PolicyConfig("ca"))) is RefusalCode.EXPIRED
    assert asyncio.run(refused(PolicyConfig("ca+revocation"))) is RefusalCode.EXPIRED


def test_a_list_that_went_stale_stays_so_when_the_clock_is_set_back(paths: Paths) -> None:
    ends = NOW + timedelta(days=9)
    authority = root("Lasting", dates=(DATES[0], ends))
    (paths.trust / "lasting.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    (paths.trust / "lasting.crl").write_bytes(authority.revocation_list(dates=DATES))
    latest_time(paths).accept((NOW + timedelta(days=2)).timestamp())

    async def check() -> None:
        house = open_house(paths, DaemonConfig(policy=PolicyConfig("ca+revocation")), b"")
        await house.check_certificate(card(authority.issue("Ann", dates=(DATES[0], ends))))

    with pytest.raises(RefusedError) as refused:
        asyncio.run(check())
    assert refused.value.code is RefusalCode.REVOCATION_UNKNOWN


def whois(
    paths: Paths, certificate: x509.Certificate, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, object]]:
    file = paths.root / "card.pem"
    file.write_bytes(certificate.public_bytes(Encoding.PEM))
    code = status(app, ["whois", "--json", str(file), "--root", str(paths.root)])
    return code, json.loads(capsys.readouterr().out)


def test_whois_says_what_the_policy_says_before_the_account(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    paths.config.write_text('[policy]\ncertificates = "ca+revocation"\n')
    revoke(paths)
    for each in (ALICE, MALLORY):
        PairingStore(paths.pairings).pair_certificate("root", card(each))
    code, found = whois(paths, ALICE, capsys)
    assert (code, found["account"], found["reason"]) == (0, "root", "")
    rules = found["rules"]
    assert isinstance(rules, list)
    assert [rule["rule"] for rule in rules[:7]] == [
        "dates",
        "policy",
        "slot",
        "purpose",
        "path",
        "policies",
        "is “Alice” revoked",
    ]
    code, found = whois(paths, MALLORY, capsys)
    assert (code, found["account"]) == (3, None)
    assert "“Stranger”" in str(found["reason"])
    revoke(paths, ALICE)
    code, found = whois(paths, ALICE, capsys)
    assert (code, found["account"]) == (3, None)
    assert "was revoked" in str(found["reason"])


def test_whois_says_that_a_card_expired_rather_than_why_it_has_no_path(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.config.write_text('[policy]\ncertificates = "ca"\n')
    old = ROOT.issue("Alice", dates=(NOW - timedelta(days=3), NOW - timedelta(days=2)))
    assert "The card's certificate expired" in str(whois(paths, old, capsys)[1]["reason"])
