"""Accounts that SSSD finds, on a machine that is joined to a directory, by SSSD's own mapping rules."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab.hosts import Host, two_hosts
from lab.processes import Process, wait_until
from lab.product import SRA
from sra.cli.remote.remote import DAEMON_UID
from sra.paths import DAEMON_USER
from tests.remote.accounts.issuing import Authority, Issued, principal
from tests.system.directory_server import BASE, READER, READER_PASSWORD, DirectoryServer

AUTHORITY = Authority("Authority of the cards")
SETTINGS = f"""
[sssd]
services = nss, ifp
domains = example

[ifp]
allowed_uids = 0, {DAEMON_UID}

[nss]
entry_negative_timeout = 0

[domain/example]
id_provider = ldap
auth_provider = none
access_provider = permit
ldap_uri = ldap://admin
ldap_id_use_start_tls = true
ldap_tls_cacert = /etc/sra/directory.pem
ldap_search_base = {BASE}
ldap_default_bind_dn = {READER}
ldap_default_authtok = {READER_PASSWORD}

[certmap/example/principal]
matchrule = <SUBJECT>.*
maprule = (altSecurityIdentities=Kerberos:{{subject_nt_principal}})
"""


@dataclass
class Joined:
    """The directory is on the admin's machine, and the remote is joined to it."""

    remote: Host
    directory: DirectoryServer
    bus: Process

    def whois(self, card: Issued, user: str | None = None) -> dict[str, Any]:
        """What the remote says about a card, as srad would if ``user`` is its user."""
        self.remote.write("/tmp/card.pem", card.pem.decode())
        said = self.remote.run([SRA, "whois", "--json", "/tmp/card.pem"], user=user, check=False)
        assert said.returncode in {0, 3}, said.stderr
        found: dict[str, Any] = json.loads(said.stdout)
        return found


@pytest.fixture(scope="module")
def joined() -> Iterator[Joined]:
    with two_hosts() as (admin, remote):
        directory = DirectoryServer(admin, Authority("Authority of the directory"))
        directory.make()
        directory.start()
        for name, number in (("ann", "5001"), ("ben", "5002"), ("cleo", "5003")):
            directory.put(name, person(name, number, f"Kerberos:{'ann' if name == 'ann' else 'shared'}@EXAMPLE.COM"))
        remote.write("/etc/sra/directory.pem", directory.authority.own.pem.decode())
        remote.write("/etc/sra/trust/cards.pem", AUTHORITY.own.pem.decode())
        remote.write("/etc/sra/srad.toml", "accounts.sssd = true\n")
        remote.write("/etc/sssd/sssd.conf", SETTINGS, 0o600)
        remote.write("/etc/nsswitch.conf", "passwd: files sss\ngroup: files sss\nhosts: files\n")
        remote.run(["mkdir", "-p", "/run/dbus"])
        bus = remote.start(["dbus-daemon", "--system", "--nofork", "--nopidfile"])
        wait_until(lambda: remote.run(["ls", "/run/dbus"]).stdout, "the message bus", 10)
        remote.start(["sssd", "--interactive", "--logger=stderr"])
        wait_until(
            lambda: "ann" in remote.run(["getent", "-s", "sss", "passwd", "ann"], check=False).stdout, "SSSD", 20
        )
        yield Joined(remote, directory, bus)


def person(name: str, number: str, identity: str) -> dict[str, list[str | bytes]]:
    return {
        "objectClass": ["inetOrgPerson", "posixAccount", "cardHolder"],
        "uid": [name], "uidNumber": [number], "gidNumber": [number], "homeDirectory": [f"/home/{name}"],
        "altSecurityIdentities": [identity],
    }  # fmt: skip


def card(upn: str) -> Issued:
    return AUTHORITY.issue(names=[principal(upn)])


def test_sssds_own_rules_find_the_account(joined: Joined) -> None:
    said = joined.whois(card("ann@EXAMPLE.COM"))
    assert {"rule": "certificate in SSSD", "outcome": "ann"} in said["rules"]
    assert said["account"] == "ann"


def test_srads_user_may_ask_once_sssd_allows_it(joined: Joined) -> None:
    joined.remote.run(["useradd", "--system", "--uid", str(DAEMON_UID), DAEMON_USER])
    assert joined.whois(card("ann@EXAMPLE.COM"), user=DAEMON_USER)["account"] == "ann"
    joined.remote.run(["useradd", "--system", "stranger"])
    said = joined.whois(card("ann@EXAMPLE.COM"), user="stranger")
    assert "SSSD says no: " in said["rules"][-1]["outcome"]


@pytest.mark.parametrize("upn", ["dora@EXAMPLE.COM", "*", "ann*", "*)(uid=ann"])
def test_whom_sssd_does_not_know_does_not_come_in(joined: Joined, upn: str) -> None:
    said = joined.whois(card(upn))
    assert {"rule": "certificate in SSSD", "outcome": "nobody"} in said["rules"]
    assert "not paired" in said["reason"]


def test_a_card_of_two_people_opens_no_account(joined: Joined) -> None:
    said = joined.whois(card("shared@EXAMPLE.COM"))
    assert {"rule": "certificate in SSSD", "outcome": "ben and cleo"} in said["rules"]
    assert "more than one account" in said["reason"]


def test_sssd_is_not_asked_about_a_certificate_without_an_authority(joined: Joined) -> None:
    said = joined.whois(Authority("Somebody").issue(names=[principal("ann@EXAMPLE.COM")]))
    assert said["account"] is None
    assert any("no authority vouches" in rule["outcome"] for rule in said["rules"])


def test_without_sssd_nobody_comes_in_and_the_reason_is_said(joined: Joined) -> None:
    joined.remote.run(["pkill", "-KILL", "sssd"])
    wait_until(lambda: joined.remote.run(["pgrep", "sssd"], check=False).returncode == 1, "the end of SSSD", 10)
    said = joined.whois(card("ann@EXAMPLE.COM"))
    assert "can't be asked" in said["reason"]
    assert "SSSD says no: " in said["rules"][-1]["outcome"]
    joined.bus.kill()
    assert "SSSD can't be asked over the message bus" in joined.whois(card("ann@EXAMPLE.COM"))["rules"][-1]["outcome"]
