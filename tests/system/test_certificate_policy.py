"""A remote that wants an authority and to know about revocation: who comes in, and what the others are told."""

import base64
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lab import product
from lab.hosts import two_hosts
from lab.product import SRA, World
from tests.chains import AUTHORITY, Authority, Entry, root

TRUST = "/etc/sra/trust"
DATES = (datetime.now(UTC) - timedelta(days=9), datetime.now(UTC) + timedelta(days=1000))
ROOT = root(dates=DATES)
STRANGER = root("Stranger", AUTHORITY, DATES)


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def issued_by(world: World, authority: Authority, name: str, slots: Sequence[str] = ("9A=P256",)) -> x509.Certificate:
    """A card and an account of this name, paired; the card's certificate."""
    key = authority.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    world.admin.write("/root/ca.pem", pem(authority.certificate))
    world.admin.write("/root/ca.key", key, mode=0o600)
    own = world.add_person(name, slots, more=["--ca-cert", "/root/ca.pem", "--ca-key", "/root/ca.key"])
    return x509.load_pem_x509_certificate(own.encode())


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with two_hosts() as (admin, remote):
        remote.write(f"{TRUST}/root.pem", pem(ROOT.certificate))
        yield product.remote_at_work(admin, remote, settings='[policy]\ncertificates = "ca+revocation"\n')


@pytest.fixture(scope="module")
def ann(world: World) -> x509.Certificate:
    return issued_by(world, ROOT, "ann")


def publish(world: World, *entries: Entry, days: tuple[int, int] = (-1, 1)) -> None:
    """Put the root's list into the remote's folder."""
    start, end = (datetime.now(UTC) + timedelta(days=number) for number in days)
    der = ROOT.revocation_list(entries, dates=(start, end))
    text = base64.encodebytes(der).decode()
    world.remote.write(f"{TRUST}/root.crl", f"-----BEGIN X509 CRL-----\n{text}-----END X509 CRL-----\n")


def told(world: World, name: str = "ann") -> str:
    """What a connection that is refused says."""
    connection = product.connect(world.admin, world.service, f"software:{name}", "--no-reconnect")
    assert connection.wait(20) != 0
    return connection.output


def test_a_card_on_no_list_comes_in(world: World, ann: x509.Certificate) -> None:
    publish(world, Entry(ann.serial_number + 1))
    with world.inserted("ann"):
        product.wait_for_card(world.remote)


def test_a_list_counts_from_the_next_login_on(world: World, ann: x509.Certificate) -> None:
    publish(world)
    with world.inserted("ann"):
        pass
    publish(world, Entry(ann.serial_number, x509.ReasonFlags.key_compromise))
    assert "was revoked on" in told(world)


def test_a_stale_list_and_none_let_nobody_in(world: World, ann: x509.Certificate) -> None:
    publish(world, Entry(ann.serial_number + 1), days=(-3, -2))
    assert "is stale since" in told(world)
    world.remote.run(["rm", f"{TRUST}/root.crl"])
    assert "names no place to ask" in told(world)


def test_a_paired_card_of_an_unknown_authority_is_refused(world: World) -> None:
    publish(world)
    issued_by(world, STRANGER, "mallory")
    assert "“Stranger”, which this remote does not know" in told(world, "mallory")


def test_whois_says_the_same_as_the_daemon(world: World, ann: x509.Certificate) -> None:
    publish(world, Entry(ann.serial_number))
    world.remote.write("/root/card.pem", pem(ann))
    said = world.remote.run([SRA, "whois", "--json", "/root/card.pem"], check=False)
    assert said.returncode == 3
    reason = json.loads(said.stdout)["reason"]
    assert reason in " ".join(told(world).split())
