"""The login under a policy with an authority: revocation counts there too, and so does the attribute mapping."""

import plistlib
from collections.abc import Iterator

import pytest
from cryptography import x509

from lab import product
from lab.hosts import two_hosts
from lab.processes import wait_until
from lab.product import SRA, World
from tests.chains import Entry
from tests.system.test_certificate_policy import ROOT, TRUST, issued_by, pem, publish
from tests.system.test_logins import MAPPING, at_terminal, output_of

MAPPED = {"AttributeMapping": {"fields": ["Common Name"], "formatString": "card of $1", "dsAttributeString": "cn"}}
LISTS = "cat /etc/pam_pkcs11/sra/trust/*.r0"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with two_hosts() as (admin, remote):
        remote.write(f"{TRUST}/root.pem", pem(ROOT.certificate))
        world = product.remote_at_work(admin, remote, settings='[policy]\ncertificates = "ca+revocation"\n')
        publish(world)
        remote.add_account("guest", "secret")
        remote.run([SRA, "pam", "enable", "su"])
        yield world


@pytest.fixture(scope="module")
def ann(world: World) -> x509.Certificate:
    return issued_by(world, ROOT, "ann")


def published(world: World, *entries: Entry) -> None:
    """A list, and its way to the login."""
    before = world.remote.run(["sh", "-c", LISTS], check=False).stdout
    publish(world, *entries)
    wait_until(lambda: world.remote.run(["sh", "-c", LISTS], check=False).stdout != before, "the login's list", 10)


def test_a_revocation_counts_at_the_login_even_while_the_card_is_in(world: World, ann: x509.Certificate) -> None:
    with world.inserted("ann"):
        assert output_of(at_terminal(world, "guest", "su", "ann", "-c", "id -un")).splitlines()[-1] == "ann"
        published(world, Entry(ann.serial_number, x509.ReasonFlags.key_compromise))
        su = at_terminal(world, "guest", "su", "ann", "-c", "id -un")
        su.answer("Password: ", "wrong")  # the card is no help any more
        assert "Authentication failure" in output_of(su)
    published(world)


def test_a_card_that_an_attribute_maps_logs_in(world: World, ann: x509.Certificate) -> None:
    remote = world.remote
    remote.run([SRA, "unpair", "ann"])
    assert "-> ann" not in remote.read(MAPPING)
    (name,) = ann.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    remote.write("/etc/sra/attributes.toml", f'[ann]\ncn = ["card of {name.value!s}"]\n')
    remote.write("/etc/sra/SmartcardLogin.plist", plistlib.dumps(MAPPED).decode())
    with world.inserted("ann"):
        assert output_of(at_terminal(world, "guest", "su", "ann", "-c", "id -un")).splitlines()[-1] == "ann"
    remote.run(["rm", "/etc/sra/SmartcardLogin.plist"])
    wait_until(lambda: "-> ann" not in remote.read(MAPPING), "the map without ann", 10)
