"""The parts of a remote, put together from its settings: accounts, certificate policy and license."""

from __future__ import annotations

import asyncio
import json
import plistlib
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lab.licenses import a_license, files_of
from sra.cli.remote.pairing import app
from sra.config import (
    AccountsConfig,
    DaemonConfig,
    DirectoryConfig,
    PolicyConfig,
    directory_address,
    load_daemon_config,
)
from sra.errors import RefusalCode, RefusedError, UsageError
from sra.identity.policy import CertificatePolicy, Certificates
from sra.paths import Paths
from sra.programs.run import status
from sra.programs.srad import open_admission
from sra.remote.accounts.ldap_connection import Server
from sra.remote.accounts.pairing import PairingStore
from sra.remote.build import (
    issuers_folder,
    latest_time,
    open_directory,
    open_finder,
    open_licenses,
    open_trust,
    policy_of,
    verdict,
)
from sra.remote.daemon.daemon_audit import Recorder
from tests.chains import Entry, card, root
from tests.remote.accounts.issuing import Authority, principal

AUTHORITY = Authority()
CARD = AUTHORITY.issue(names=[principal("daemon@example.com")]).card
DIRECTORY = 'servers = ["ldaps://ldap.example.com"]\nbase = "dc=example,dc=com"\n'


def load(root: Path, text: str) -> AccountsConfig:
    path = Paths(root).config
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return load_daemon_config(path).accounts


def test_without_settings_everybody_may_come_who_is_paired(tmp_path: Path) -> None:
    assert load(tmp_path, "") == AccountsConfig(allow=None, deny=(), ldap=None)


def test_everything_can_be_set(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        '[accounts]\nallow = ["alice", "@staff"]\ndeny = ["@domain guests"]\n[accounts.ldap]\n' + DIRECTORY
        + 'ca_file = "/a"\nbind_dn = "cn=b"\npassword_file = "/c"\naccount_attribute = "sAMAccountName"\n'
        "by_certificate = true\nconnect_seconds = 1\nsearch_seconds = 2\ncache_seconds = 0\nunknown_seconds = 4\n",
    )  # fmt: skip
    assert (config.allow, config.deny) == (("alice", "@staff"), ("@domain guests",))
    assert config.ldap == DirectoryConfig(
        ("ldaps://ldap.example.com",), "dc=example,dc=com", "/a", "cn=b", "/c", "sAMAccountName", True, 1, 2, 0, 4
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("allow = []", "would let no account in"),
        ('allow = [""]', "neither an account nor a @group"),
        ('deny = ["@"]', "neither an account nor a @group"),
        ('deny = ["alice "]', "neither an account nor a @group"),
        ('denied = ["alice"]', "denied"),
        ("[accounts.ldap]\n" + DIRECTORY.replace("ldaps:", "http:"), "write ldaps://HOST"),
        ("[accounts.ldap]\n" + DIRECTORY.replace("ldaps:", "ldapi:"), "write ldaps://HOST"),
        ("[accounts.ldap]\nservers = []\nbase = 'dc=x'", "at least one"),
        ("[accounts.ldap]\nservers = ['ldaps://x']", "base"),
        ("[accounts.ldap]\n" + DIRECTORY + "bind_dn = 'cn=b'", "go together"),
        ("[accounts.ldap]\n" + DIRECTORY + "account_attribute = 'uid)'", "name of an attribute"),
        ("[accounts.ldap]\n" + DIRECTORY + "search_seconds = 0", "search_seconds"),
        ("[accounts.ldap]\n" + DIRECTORY + "verify = false", "verify"),
    ],
)
def test_what_can_not_be_meant_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=rf"srad\.toml: .*{reason}"):
        load(tmp_path, f"[accounts]\n{text}")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ldap://a", ("a", 389, False)),
        ("ldaps://a", ("a", 636, True)),
        ("ldap://a.b:1389", ("a.b", 1389, False)),
        ("ldaps://[::1]:1636", ("::1", 1636, True)),
    ],
)
def test_a_server_is_a_host_and_a_port(url: str, address: tuple[str, int, bool]) -> None:
    assert directory_address(url) == address
    assert str(Server(*address)).startswith(url)


@pytest.mark.parametrize(
    "url",
    ["", "a", "ldap://", "ldap:///dc=x", "ldap://a/dc=x", "ldap://a?x", "ldap://u:p@a", "ldap://a:x", "ldap://a:99999"],
)
def test_anything_else_is_no_server(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        directory_address(url)


def test_a_directory_without_its_authority_is_not_asked(tmp_path: Path) -> None:
    config = DirectoryConfig(("ldaps://a",), "dc=x", ca_file=str(tmp_path / "missing.pem"))
    with pytest.raises(UsageError, match=r"missing\.pem"):
        open_directory(config)


def test_the_parts_are_put_together_from_the_files_of_the_root(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.trust.mkdir(parents=True)
    AUTHORITY.own.write(paths.trust, "authority")
    mapping = {
        "fields": ["NT Principal Name"],
        "formatString": "$1",
        "dsAttributeString": "dsAttrTypeNative:userPrincipalName",
    }
    paths.attribute_mapping.write_bytes(plistlib.dumps({"AttributeMapping": mapping}))
    paths.attributes.write_text('[daemon]\nuserPrincipalName = ["daemon@example.com"]\n')
    refused = asyncio.run(open_finder(paths, AccountsConfig(), "remote").explain(CARD)).refusal
    assert refused is not None
    assert refused.code is RefusalCode.NOT_ALLOWED
    allowing = open_finder(paths, load(tmp_path, f"accounts.allow = {json.dumps(['daemon'])}"), "remote")
    assert asyncio.run(allowing.find_account(CARD)) == "daemon"
    denying = open_finder(paths, AccountsConfig(allow=("daemon",), deny=("@daemon",)), "remote")
    refused = asyncio.run(denying.explain(CARD)).refusal
    assert refused is not None
    assert "The account daemon may not come in on remote." in refused.text


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


def test_the_daemon_checks_the_policy(paths: Paths) -> None:
    revoke(paths)

    async def refused(config: PolicyConfig, certificate: x509.Certificate) -> RefusalCode | None:
        admission = open_admission(paths, DaemonConfig(policy=config), b"", Recorder(paths.audit))
        try:
            await admission.check_certificate(card(certificate))
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
        admission = open_admission(paths, DaemonConfig(policy=config), b"", Recorder(paths.audit))
        card(lasting).check_validity(admission.now())
        try:
            await admission.check_certificate(card(lasting))
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
        config = DaemonConfig(policy=PolicyConfig("ca+revocation"))
        admission = open_admission(paths, config, b"", Recorder(paths.audit))
        await admission.check_certificate(card(authority.issue("Ann", dates=(DATES[0], ends))))

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


def test_a_remote_s_license_is_found_below_its_root(tmp_path: Path) -> None:
    wanted = a_license(hosts=(socket.gethostname().lower(),))
    for name, text in files_of(wanted).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert open_licenses(Paths(tmp_path)).check(time.time()) == wanted
    assert list(issuers_folder(Paths(tmp_path)).iterdir()) == [tmp_path / "etc/sra/trust/license.d/lab.pem"]


def test_the_latest_time_is_part_of_the_state(tmp_path: Path) -> None:
    latest = latest_time(Paths(tmp_path))
    latest.accept(1_800_000_000)
    assert (tmp_path / "var/lib/sra/latest-time").read_text() == "2027-01-15T08:00:00+00:00"
