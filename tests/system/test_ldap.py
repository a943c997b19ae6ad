"""Accounts from a real directory: found, refused, and never waited for too long."""

import json
import plistlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from lab import product
from lab.hosts import Host, two_hosts
from lab.product import SRA, Service
from sra.cli.remote.remote import DAEMON_UID
from tests.remote.accounts.issuing import Authority, Issued, principal
from tests.system.directory_server import BASE, READER, READER_PASSWORD, DirectoryServer

ETC = "/etc/sra"
AUTHORITY = Authority("Authority of the cards")
KERBEROS = {
    "fields": ["NT Principal Name"],
    "formatString": "Kerberos:$1",
    "dsAttributeString": "dsAttrTypeStandard:AltSecurityIdentities",
}
CONNECT_SECONDS = 2
SETTINGS: dict[str, object] = {
    "servers": ["ldap://admin"],
    "base": BASE,
    "ca_file": f"{ETC}/directory.pem",
    "bind_dn": READER,
    "password_file": f"{ETC}/directory-password",
    "connect_seconds": CONNECT_SECONDS,
    "search_seconds": 1,
    "cache_seconds": 0,
    "unknown_seconds": 0,
}


@dataclass
class Place:
    """The directory is on the admin's machine; the remote asks it."""

    admin: Host
    remote: Host
    directory: DirectoryServer

    def configure(self, mapping: dict[str, Any] | None = None, **changes: object) -> str:
        """Write the remote's settings; what is in srad.toml then."""
        settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in {**SETTINGS, **changes}.items())
        text = f"[accounts.ldap]\n{settings}"
        self.remote.write(f"{ETC}/srad.toml", text)
        plist = plistlib.dumps({"AttributeMapping": mapping} if mapping else {})
        self.remote.write(f"{ETC}/SmartcardLogin.plist", plist.decode())
        return text

    def whois(self, card: Issued) -> dict[str, Any]:
        """What the remote says about a card."""
        self.remote.write("/root/card.pem", card.pem.decode())
        said = self.remote.run([SRA, "whois", "--json", "/root/card.pem"], check=False)
        assert said.returncode in {0, 3}, said.stderr
        found: dict[str, Any] = json.loads(said.stdout)
        return found


def connected(place: Place, service: Service) -> str:
    """What a connection says that comes in."""
    connection = product.connect(place.admin, service, "software:alice")
    connection.wait_for("alice", 20)
    connection.terminate()
    connection.wait()
    return connection.output


def refused(place: Place, service: Service) -> str:
    """What a connection says that does not."""
    connection = product.connect(place.admin, service, "software:alice", "--no-reconnect")
    connection.wait(20)
    return connection.output


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with two_hosts() as (admin, remote):
        directory = DirectoryServer(admin, Authority("Authority of the directory"))
        directory.make()
        directory.start()
        for name in ("alice", "bob"):
            remote.add_account(name, "a password that no test uses")
        remote.write(f"{ETC}/directory.pem", directory.authority.own.pem.decode())
        remote.write(f"{ETC}/directory-password", f"{READER_PASSWORD}\n", 0o640)
        remote.run(["chgrp", str(DAEMON_UID), f"{ETC}/directory-password"])
        remote.write(f"{ETC}/trust/cards.pem", AUTHORITY.own.pem.decode())
        yield Place(admin, remote, directory)


@pytest.fixture(autouse=True)
def people(place: Place) -> Iterator[None]:
    """Alice and nobody else has a card."""
    place.directory.put("alice", {"altSecurityIdentities": ["Kerberos:alice@OLD", "Kerberos:alice@EXAMPLE.COM"]})
    yield
    for name in ("alice", "bob", "dave"):
        place.directory.put(name, {})


def card(upn: str = "alice@EXAMPLE.COM") -> Issued:
    return AUTHORITY.issue(names=[principal(upn)])


def last_step(said: dict[str, Any]) -> str:
    return str(said["rules"][-1]["outcome"])


@pytest.mark.parametrize("server", ["ldap://admin", "ldaps://admin", "ldap://admin:389"])
def test_the_account_is_found_over_tls(place: Place, server: str) -> None:
    place.configure(KERBEROS, servers=[server])
    said = place.whois(card())
    assert said["account"] == "alice"
    assert any("“Kerberos:alice@EXAMPLE.COM”: alice" in rule["outcome"] for rule in said["rules"])
    assert "TLS established" in place.directory.process.output  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("field", "attribute", "value"),
    [
        ("NT Principal Name", "dsAttrTypeNative:userPrincipalName", "alice@example.com"),
        ("RFC 822 Name", "dsAttrTypeStandard:EMailAddress", "alice@example.com"),
        ("Common Name", "dsAttrTypeStandard:RecordName", "alice"),
    ],
)
def test_other_attributes_are_found_too_and_only_exactly(place: Place, field: str, attribute: str, value: str) -> None:
    place.configure({"fields": [field], "formatString": "$1", "dsAttributeString": attribute})
    place.directory.put("alice", {"userPrincipalName": ["alice@example.com"], "mail": ["alice@example.com"]})
    for text, account in ((value, "alice"), (value.upper(), None)):
        names: dict[str, list[x509.GeneralName]] = {
            "NT Principal Name": [principal(text)], "RFC 822 Name": [x509.RFC822Name(text)], "Common Name": [],
        }  # fmt: skip
        issued = AUTHORITY.issue([(x509.NameOID.COMMON_NAME, text)], names[field])
        assert place.whois(issued)["account"] == account


@pytest.mark.parametrize(
    "upn", ["*", "alice*", "*)(altSecurityIdentities=*", "alice@EXAMPLE.COM)(uid=*", "al\\2a", "é"]
)
def test_nothing_in_a_certificate_means_more_than_itself(place: Place, upn: str) -> None:
    place.configure({**KERBEROS, "formatString": "$1"})
    said = place.whois(card(upn))
    assert said["account"] is None
    assert "not paired" in said["reason"]
    place.directory.put("bob", {"altSecurityIdentities": [upn]})
    assert place.whois(card(upn))["account"] == "bob"


def test_a_card_of_several_people_opens_no_account(place: Place) -> None:
    place.configure(KERBEROS)
    place.directory.put("bob", {"altSecurityIdentities": ["Kerberos:alice@EXAMPLE.COM"]})
    place.directory.put("dave", {"altSecurityIdentities": ["Kerberos:alice@EXAMPLE.COM"]})
    said = place.whois(card())
    assert said["account"] is None
    assert "more than one account" in said["reason"]


def test_a_person_whom_the_machine_does_not_have_does_not_come_in(place: Place) -> None:
    place.configure(KERBEROS)
    place.directory.put("dave", {"altSecurityIdentities": ["Kerberos:dave@EXAMPLE.COM"]})
    assert "does not exist" in place.whois(card("dave@EXAMPLE.COM"))["reason"]


def test_a_card_from_another_authority_is_not_looked_up(place: Place) -> None:
    place.configure(KERBEROS)
    said = place.whois(Authority("Somebody").issue(names=[principal("alice@EXAMPLE.COM")]))
    assert said["account"] is None
    assert any("no authority vouches" in rule["outcome"] for rule in said["rules"])


def test_a_card_of_the_wrong_slot_opens_nothing_whatever_the_directory_says(place: Place) -> None:
    """Neither by its names nor as a whole."""
    card_authentication = x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.16.840.1.101.3.6.8")])
    wrong = AUTHORITY.issue(names=[principal("alice@EXAMPLE.COM")], more=[card_authentication])
    place.directory.put(
        "alice", {"altSecurityIdentities": ["Kerberos:alice@EXAMPLE.COM"], "userCertificate;binary": [wrong.card.der]}
    )
    for mapping, by_certificate in ((KERBEROS, False), (None, True)):
        place.configure(mapping, by_certificate=by_certificate)
        said = place.whois(wrong)
        assert said["account"] is None
        assert "card authentication (slot 9E)" in said["reason"]


def test_the_very_certificate_is_found_among_several(place: Place) -> None:
    place.configure(by_certificate=True)
    authority = Authority('Authority, "the" <first> + only; #1 ')
    mine, other = authority.issue(), authority.issue()
    place.directory.put("alice", {"userCertificate;binary": [card().card.der, mine.card.der]})
    assert place.whois(mine)["account"] == "alice"
    assert place.whois(other)["account"] is None


def test_the_referrals_of_a_directory_are_not_followed(place: Place) -> None:
    place.directory.refer("elsewhere", "ldap://remote:389/dc=elsewhere")
    place.configure(KERBEROS)
    assert place.whois(card())["account"] == "alice"
    assert place.whois(card("bob@EXAMPLE.COM"))["account"] is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ca_file": f"{ETC}/trust/cards.pem"}, "certificate is not trusted"),
        ({"servers": ["ldaps://10.116.0.1"]}, "certificate is not trusted: IP address mismatch"),
        ({"servers": ["ldaps://admin:389"]}, "admin:389: "),
        ({"base": "dc=elsewhere"}, "LDAP code 32"),
        ({"bind_dn": f"cn=nobody,{BASE}"}, "LDAP code 49"),
        ({"bind_dn": "", "password_file": ""}, "LDAP code 32"),
        ({"servers": ["ldap://nowhere.invalid"]}, "nowhere.invalid"),
    ],
)
def test_what_is_set_wrongly_lets_nobody_in_and_says_what_it_is(
    place: Place, changes: dict[str, object], reason: str
) -> None:
    place.configure(KERBEROS, **changes)
    said = place.whois(card())
    assert said["account"] is None
    assert "directory that knows the accounts of remote can't be asked" in said["reason"]
    assert reason in last_step(said)


def test_the_second_server_answers_when_the_first_is_gone(place: Place) -> None:
    place.configure(KERBEROS, servers=["ldaps://admin:1", "ldaps://admin"])
    assert place.whois(card())["account"] == "alice"


@pytest.fixture(scope="module")
def service(place: Place) -> Service:
    """The remote at work, with Alice's card issued by the authority."""
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    place.admin.write("/root/authority.pem", AUTHORITY.own.pem.decode())
    place.admin.write("/root/authority.key", AUTHORITY.key.private_bytes(serialization.Encoding.PEM, *form).decode())
    issuer = ["--ca-cert", "/root/authority.pem", "--ca-key", "/root/authority.key", "--upn", "alice@EXAMPLE.COM"]
    product.make_card(place.admin, "alice", ["9A=P256"], more=issuer)
    place.remote.pcscd()
    return product.start_remote(place.remote, settings=place.configure(KERBEROS))


def test_a_card_comes_in_through_the_directory_and_is_told_when_that_is_gone(place: Place, service: Service) -> None:
    assert "Connected" in connected(place, service)
    place.directory.stop()
    assert "The directory that knows the accounts of remote can't be asked" in refused(place, service)
    assert "ldap://admin:389: " in service.process.output
    place.directory.start()
    assert "Connected" in connected(place, service)


def test_a_directory_that_hangs_keeps_nobody_waiting(place: Place, service: Service) -> None:
    place.directory.pause()
    try:
        begin = time.monotonic()
        assert "The directory that knows" in refused(place, service)
        assert time.monotonic() - begin < CONNECT_SECONDS + 5
    finally:
        place.directory.resume()
    assert "does not answer in time" in service.process.output
    assert "Connected" in connected(place, service)


def test_who_is_denied_does_not_come_in_whatever_the_directory_says(place: Place) -> None:
    text = place.configure(KERBEROS)
    place.remote.run(["groupadd", "--users", "alice", "guests"], check=False)
    place.remote.run(["usermod", "--append", "--groups", "guests", "alice"])
    place.remote.write(f"{ETC}/srad.toml", f'accounts.deny = ["@guests"]\n{text}')
    said = place.whois(card())
    assert said["account"] is None
    assert "The account alice may not come in on remote." in said["reason"]
    assert last_step(said) == "may not come in: deny has @guests"
