import asyncio
import plistlib
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sra.errors import RefusalCode, RefusedError, UsageError
from sra.identity.certificates import CardCertificate
from sra.remote.accounts import attribute_mapping
from sra.remote.accounts.account_rules import AccountRules
from sra.remote.accounts.directory import FIRST_PERSON, Accounts, DirectoryError, LocalAccount, LocalDirectory
from sra.remote.accounts.finder import AccountFinder, Decision
from sra.remote.accounts.pairing import PairingStore
from sra.remote.accounts.pairing_file import Pairing
from sra.remote.accounts.watched_file import WatchedFile
from tests.remote.accounts.issuing import Authority, principal

AUTHORITY = Authority()
ISSUED = AUTHORITY.issue(names=[principal("alice@example.com")])
CARD = ISSUED.card
NAMELESS = AUTHORITY.issue().card
MAPPING = {
    "fields": ["NT Principal Name"],
    "formatString": "$1",
    "dsAttributeString": "dsAttrTypeNative:userPrincipalName",
}
PEOPLE = {"alice": FIRST_PERSON, "bob": FIRST_PERSON + 1, "carol": FIRST_PERSON + 2, "postgres": 112, "root": 0}


@pytest.fixture(autouse=True)
def accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine has these people."""

    def find(name: str) -> LocalAccount:
        if name not in PEOPLE:
            raise UsageError(f"This machine has no account {name}.")
        return LocalAccount(name, PEOPLE[name])

    monkeypatch.setattr("sra.remote.accounts.finder.find_local", find)


@dataclass
class FakeDirectory:
    """Says what it is told, and keeps what it was asked."""

    answer: Accounts = frozenset()
    failure: DirectoryError | None = None
    name: str = "ldap.example.com"
    goes_by_names: bool = False
    asked: list[object] = field(default_factory=list)

    async def find(self, attribute: str, value: str) -> Accounts:
        return self._say((attribute, value))

    async def find_certificate(self, card: CardCertificate) -> Accounts:
        return self._say(card)

    def _say(self, question: object) -> Accounts:
        self.asked.append(question)
        if self.failure is not None:
            raise self.failure
        return self.answer


@dataclass
class Remote:
    """A machine whose finder has everything; its files are in ``folder``."""

    folder: Path
    directory: FakeDirectory
    finder: AccountFinder

    def map(self, **content: object) -> None:
        self.plist.write_bytes(plistlib.dumps(content))

    @property
    def plist(self) -> Path:
        return self.folder / "SmartcardLogin.plist"

    def pair(self, account: str, card: CardCertificate = CARD) -> None:
        PairingStore(self.folder / "pairings.toml").pair(account, card.public_key_hash("sha256"))

    def configure(self, **changes: object) -> None:
        self.finder = replace(self.finder, **changes)  # type: ignore[arg-type]

    def explain(self, card: CardCertificate = CARD) -> Decision:
        return asyncio.run(self.finder.explain(card))

    def find(self, card: CardCertificate = CARD) -> str:
        return asyncio.run(self.finder.find_account(card))

    def refusal(self, card: CardCertificate = CARD) -> RefusedError:
        with pytest.raises(RefusedError) as caught:
            self.find(card)
        return caught.value


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    directory = FakeDirectory()
    finder = AccountFinder(
        "remote.example.com",
        PairingStore(tmp_path / "pairings.toml", "remote.example.com"),
        WatchedFile(tmp_path / "SmartcardLogin.plist", attribute_mapping.MAX_FILE, attribute_mapping.decode),
        (LocalDirectory(tmp_path / "attributes.toml"), directory),
        vouching=lambda _: frozenset({AUTHORITY.own.sha256}),
    )
    return Remote(tmp_path, directory, finder)


def nobody_vouches(_: CardCertificate) -> frozenset[str]:
    raise RefusedError(RefusalCode.UNTRUSTED, "nobody vouches for it")


def test_without_anything_set_only_the_pairing_counts(remote: Remote) -> None:
    remote.directory.answer = frozenset({"bob"})
    assert remote.refusal().code is RefusalCode.NOT_PAIRED
    remote.pair("alice")
    assert remote.find() == "alice"
    assert remote.directory.asked == []


def test_the_mapping_goes_before_the_pairing(remote: Remote) -> None:
    remote.pair("alice")
    remote.map(AttributeMapping=MAPPING)
    remote.directory.answer = frozenset({"bob"})
    assert remote.find() == "bob"
    assert remote.directory.asked == [("userPrincipalName", "alice@example.com")]


def test_whom_the_mapping_does_not_know_the_pairing_may(remote: Remote) -> None:
    remote.pair("alice")
    remote.map(AttributeMapping=MAPPING)
    assert remote.find() == "alice"


def test_the_machines_own_attributes_go_before_the_directory(remote: Remote) -> None:
    remote.map(AttributeMapping=MAPPING)
    (remote.folder / "attributes.toml").write_text('[carol]\nuserPrincipalName = ["alice@example.com"]\n')
    remote.directory.failure = DirectoryError("down")
    assert remote.find() == "carol"
    assert remote.directory.asked == []


def test_a_name_in_a_certificate_that_nobody_vouches_for_is_not_even_looked_up(remote: Remote) -> None:
    remote.map(AttributeMapping=MAPPING)
    remote.directory.answer = frozenset({"bob"})
    remote.configure(vouching=nobody_vouches)
    assert remote.refusal().code is RefusalCode.NOT_PAIRED
    remote.pair("alice")
    assert remote.find() == "alice"
    assert remote.directory.asked == []
    assert "nobody vouches for it" in remote.explain().findings[0].outcome


def test_without_a_trust_folder_nobody_vouches(remote: Remote) -> None:
    remote.map(AttributeMapping=MAPPING)
    remote.directory.answer = frozenset({"bob"})
    remote.configure(vouching=AccountFinder("", remote.finder.pairings).vouching)
    assert remote.refusal().code is RefusalCode.NOT_PAIRED
    assert remote.directory.asked == []


def test_a_certificate_without_the_field_is_not_looked_up(remote: Remote) -> None:
    remote.map(AttributeMapping=MAPPING)
    remote.directory.answer = frozenset({"bob"})
    remote.pair("alice", NAMELESS)
    assert remote.find(NAMELESS) == "alice"
    assert remote.directory.asked == []
    assert "has no NT Principal Name" in remote.explain(NAMELESS).findings[0].outcome


@pytest.mark.parametrize("damage", [b"not a list", plistlib.dumps({"AttributeMaping": MAPPING}), b"x" * 70_000])
def test_a_mapping_that_can_not_be_read_lets_nobody_in(
    remote: Remote, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    remote.pair("alice")
    remote.plist.write_bytes(damage)
    error = remote.refusal()
    assert error.code is RefusalCode.INTERNAL
    assert str(remote.plist) not in error.text
    assert str(remote.plist) in caplog.text
    assert str(remote.plist) in remote.explain().findings[0].outcome
    remote.plist.unlink()
    assert remote.find() == "alice"


def test_a_directory_that_can_not_be_asked_lets_in_nobody_whom_it_might_know(
    remote: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    remote.pair("alice")
    remote.map(AttributeMapping=MAPPING)
    remote.directory.failure = DirectoryError("ldaps://10.0.0.1: connection refused")
    error = remote.refusal()
    assert error.code is RefusalCode.INTERNAL
    assert "directory" in error.text
    assert "10.0.0.1" not in error.text
    assert "10.0.0.1" in caplog.text
    assert "10.0.0.1" in remote.explain().findings[-1].outcome


@pytest.mark.parametrize("broken", ["pairings.toml", "attributes.toml"])
def test_other_damaged_files_let_nobody_in_either(remote: Remote, broken: str) -> None:
    remote.pair("alice")
    remote.map(AttributeMapping=MAPPING)
    (remote.folder / broken).write_text("=")
    assert remote.refusal().code is RefusalCode.INTERNAL
    assert broken in remote.explain().findings[-1].outcome


def test_a_card_of_two_accounts_opens_none(remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    remote.map(AttributeMapping=MAPPING)
    remote.directory.answer = frozenset({"bob", "alice"})
    error = remote.refusal()
    assert (error.code, "more than one account" in error.text) == (RefusalCode.NOT_PAIRED, True)
    assert "bob" not in error.text
    assert "alice and bob" in caplog.text


def test_the_very_certificate_is_looked_for_between_mapping_and_pairing(remote: Remote) -> None:
    remote.pair("alice")
    certificates = FakeDirectory(frozenset({"bob"}))
    remote.configure(certificates=(certificates,))
    assert remote.find() == "bob"
    assert certificates.asked == [CARD]
    certificates.answer = frozenset()
    assert remote.find() == "alice"
    certificates.failure = DirectoryError("down")
    assert remote.refusal().code is RefusalCode.INTERNAL
    remote.map(AttributeMapping=MAPPING)
    remote.directory.answer = frozenset({"carol"})
    assert remote.find() == "carol"


def test_a_directory_that_goes_by_names_is_asked_only_about_certificates_with_an_authority(remote: Remote) -> None:
    by_names = FakeDirectory(frozenset({"bob"}), goes_by_names=True)
    remote.configure(certificates=(FakeDirectory(), by_names))
    assert remote.find() == "bob"
    by_names.asked.clear()
    remote.configure(vouching=nobody_vouches)
    assert remote.refusal().code is RefusalCode.NOT_PAIRED
    assert by_names.asked == []


def test_an_account_that_the_machine_does_not_have_is_opened_by_nobody(remote: Remote) -> None:
    remote.pair("dave")
    error = remote.refusal()
    assert (error.code, "does not exist on remote.example.com" in error.text) == (RefusalCode.NOT_PAIRED, True)
    assert "dave" not in error.text


def test_name_services_that_hang_keep_nobody_waiting(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()

    def hang(_: str) -> LocalAccount:
        ended.wait(5)
        return LocalAccount("alice", FIRST_PERSON)

    async def ask() -> RefusedError | None:
        try:
            return (await remote.finder.explain(CARD)).refusal
        finally:
            ended.set()

    monkeypatch.setattr("sra.remote.accounts.finder.find_local", hang)
    monkeypatch.setattr("sra.remote.accounts.finder.DECISION_SECONDS", 0.1)
    remote.pair("alice")
    refusal = asyncio.run(ask())
    assert refusal is not None
    assert refusal.code is RefusalCode.INTERNAL
    assert "name service hangs" in caplog.text


@pytest.mark.parametrize("account", ["root", "postgres"])
def test_a_directory_does_not_open_system_accounts_unless_they_are_allowed_by_name(
    remote: Remote, account: str
) -> None:
    remote.map(AttributeMapping=MAPPING)
    remote.directory.answer = frozenset({account})
    assert remote.refusal().code is RefusalCode.NOT_ALLOWED
    remote.configure(rules=AccountRules(allow=(account,)))
    assert remote.find() == account


def test_root_may_be_paired_by_hand(remote: Remote) -> None:
    remote.pair("root")
    assert remote.find() == "root"


def test_who_is_denied_is_told_so(remote: Remote) -> None:
    remote.pair("alice")
    remote.configure(rules=AccountRules(deny=("alice",)))
    error = remote.refusal()
    assert error.code is RefusalCode.NOT_ALLOWED
    assert "The account alice may not come in on remote.example.com." in error.text
    remote.configure(rules=AccountRules(allow=("bob",)))
    assert remote.refusal().code is RefusalCode.NOT_ALLOWED
    remote.configure(rules=AccountRules(allow=("alice",)))
    assert remote.find() == "alice"


def test_a_denied_group_that_is_not_there_lets_nobody_in(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sra.remote.accounts.account_rules._groups_of", lambda _: frozenset({1}))
    remote.pair("alice")
    remote.configure(rules=AccountRules(deny=("@nobody-has-this-group",)))
    assert remote.refusal().code is RefusalCode.INTERNAL
    assert "nobody-has-this-group" in caplog.text


@pytest.mark.parametrize("card", [CARD, NAMELESS])
def test_with_trusted_authorities_one_of_them_vouches_for_every_card(remote: Remote, card: CardCertificate) -> None:
    remote.pair("alice", card)
    remote.map(TrustedAuthorities=["ab" * 32, AUTHORITY.own.sha256])
    assert remote.find(card) == "alice"
    remote.map(TrustedAuthorities=["ab" * 32])
    error = remote.refusal(card)
    assert (error.code, "may not issue cards" in error.text) == (RefusalCode.UNTRUSTED, True)
    remote.configure(vouching=nobody_vouches)
    assert remote.refusal(card).text == "nobody vouches for it"


def test_every_step_is_told_in_its_order(remote: Remote) -> None:
    remote.pair("alice")
    remote.map(AttributeMapping=MAPPING, TrustedAuthorities=[AUTHORITY.own.sha256])
    remote.configure(certificates=(FakeDirectory(),))
    decision = remote.explain()
    assert [finding.rule for finding in decision.findings] == [
        "trusted authorities",
        "attribute userPrincipalName in this machine",
        "attribute userPrincipalName in ldap.example.com",
        "certificate in ldap.example.com",
        f"pairing {CARD.public_key_hash('sha256')}",
        f"pairing {CARD.public_key_hash('sha1')}",
        "allow and deny",
    ]
    assert decision.findings[2].outcome == "“alice@example.com”: nobody"
    assert (decision.account, decision.refusal) == ("alice", None)


def test_one_among_a_thousand_pairings_is_found(remote: Remote) -> None:
    pairings = "".join(
        f'[[pairing]]\naccount = "{each.account}"\nhash = "{each.hash}"\n'
        for each in (Pairing("bob", f"sha256:{number:064x}") for number in range(1000))
    )
    (remote.folder / "pairings.toml").write_text(pairings)
    remote.pair("alice")
    remote.map(AttributeMapping=MAPPING)
    assert asyncio.run(remote.finder.find_account(CARD)) == "alice"


@pytest.mark.parametrize("goes_by_names", [False, True])
def test_a_certificate_that_says_no_use_opens_an_account_only_where_root_paired_it(
    remote: Remote, goes_by_names: bool
) -> None:
    """It may be of slot 9D: a remote that has blocks decrypted would make a proof of one."""
    silent = AUTHORITY.issue(names=[principal("alice@example.com")], says_use=False).card
    remote.map(AttributeMapping=MAPPING)
    remote.directory.answer = frozenset({"alice"})
    remote.directory.goes_by_names = goes_by_names
    remote.configure(certificates=(remote.directory,))
    assert remote.find() == "alice"
    remote.directory.asked.clear()
    assert remote.refusal(silent).code is RefusalCode.NOT_PAIRED
    assert remote.directory.asked == []
    assert "does not say what its key is for" in str(remote.explain(silent).findings)
    remote.pair("bob", silent)
    assert remote.find(silent) == "bob"
