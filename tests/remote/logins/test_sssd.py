import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sra.remote.logins import sssd
from sra.remote.logins.sssd import SssdSettings
from tests.remote.accounts.issuing import Authority

ONE, OTHER = Authority("One"), Authority("Other")
SETTINGS = SssdSettings("no_ocsp", "/trusted.pem", ("su",))


def issued(authority: Authority, name: str, *usages: x509.ObjectIdentifier) -> bytes:
    more = [x509.ExtendedKeyUsage(usages)] if usages else []
    return authority.issue(((NameOID.COMMON_NAME, name),), more=more).card.der


def rules(accounts: dict[bytes, str]) -> list[tuple[str, str]]:
    """Account and rule of each section."""
    text = sssd.text_of(SETTINGS, accounts).decode()
    sections = [
        dict(line.split(" = ", 1) for line in part.splitlines() if " = " in line) for part in text.split("\n\n")
    ]
    return [(each["maprule"], each["matchrule"]) for each in sections if "maprule" in each]


def test_each_certificate_has_a_rule_of_its_own_so_names_are_never_mixed() -> None:
    """“One or Other, and Ann or Bob” would match the Ann of Other too, who is somebody else."""
    found = rules({issued(ONE, "Ann"): "ann", issued(OTHER, "Bob"): "ann"})
    assert found == [
        ("(ann)", "&&<ISSUER>^CN=One$<SUBJECT>^CN=Ann$<KU>digitalSignature"),
        ("(ann)", "&&<ISSUER>^CN=Other$<SUBJECT>^CN=Bob$<KU>digitalSignature"),
    ]


def test_accounts_that_could_not_be_told_apart_get_no_rule_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    cards = {issued(ONE, "Ann"): "ann", issued(ONE, "Ann", ExtendedKeyUsageOID.CLIENT_AUTH): "bob"}
    assert rules(cards | {issued(ONE, "Eve"): "eve"}) == [
        ("(eve)", "&&<ISSUER>^CN=One$<SUBJECT>^CN=Eve$<KU>digitalSignature")
    ]
    assert "SSSD can't tell the cards of ann and bob apart" in caplog.text


def test_two_certificates_of_one_person_with_the_same_names_are_one_rule() -> None:
    assert len(rules({issued(ONE, "Ann"): "ann", issued(ONE, "Ann"): "ann"})) == 1


def test_a_rule_wants_the_purpose_that_its_own_certificate_has() -> None:
    both = (ExtendedKeyUsageOID.SMARTCARD_LOGON, ExtendedKeyUsageOID.CLIENT_AUTH)
    ends = [rules({issued(ONE, "Ann", *usages): "ann"})[0][1] for usages in (both, both[:1])]
    assert ends[0].endswith("<EKU>clientAuth")
    assert ends[1].endswith("<EKU>msScLogin")


@pytest.mark.parametrize("account", ["ann)(bob", "A\\b", "an n", "ann\n[sssd]", ""])
def test_an_account_whose_name_could_mean_more_gets_no_rule(account: str) -> None:
    assert rules({issued(ONE, "Ann"): account}) == []


def test_an_accounts_rules_are_taken_away_without_reading_a_certificate() -> None:
    cards = {issued(ONE, "Ann"): "ann", issued(OTHER, "Ann"): "ann", issued(ONE, "Bob"): "bob"}
    kept = {der: account for der, account in cards.items() if account == "bob"}
    assert sssd.without(sssd.text_of(SETTINGS, cards), "ann") == sssd.text_of(SETTINGS, kept)
    assert sssd.without(sssd.text_of(SETTINGS, cards), "an") == sssd.text_of(SETTINGS, cards)
