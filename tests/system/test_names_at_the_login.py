"""Names that nobody vouches for: a person who makes a certificate with another's names for his own key stays himself.

Real SSSD and real pam_pkcs11, under the default policy (paired keys). ``su`` is pam_pkcs11's, ``su -`` is SSSD's.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from lab.hosts import two_hosts
from lab.processes import Process, wait_until
from lab.product import CARDS, Terminal, World, code_of, remote_at_work, wait_for_card
from tests.system.test_logins import MAPPING, at_terminal, output_of
from tests.system.test_sssd_login import STACK, run_sssd, start_sssd

SSSD_SAYS = re.compile(r"PIN for|insert|failure", re.IGNORECASE)
SSSD_RULES = "/etc/sssd/conf.d/50-sra-pairing.conf"


daemons: list[Process] = []


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with two_hosts() as (admin, remote):
        world = remote_at_work(admin, remote)
        daemons.append(start_sssd(world))
        for name in ("ann", "bob"):
            world.add_person(name, ["9A=RSA2048"])
        remote.add_account("guest", "secret")
        remote.write("/etc/pam.d/su-l", STACK)
        yield world


def forge(world: World, attacker: str, victim: str) -> str:
    """A card with the attacker's key, and a certificate for it with the victim's names; nobody but him made it."""
    cards = {name: json.loads(world.admin.read(f"{CARDS}/{name}.softcard")) for name in (attacker, victim)}
    own, other = (x509.load_der_x509_certificate(b64decode(cards[each]["keys"][0]["certificate"])) for each in cards)
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(other.issuer, other.subject, own.public_key(), 4711)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))
    for extension in other.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    forged = builder.sign(ec.generate_private_key(ec.SECP256R1()), SHA256()).public_bytes(Encoding.DER)
    cards[attacker]["keys"][0]["certificate"] = b64encode(forged).decode()
    world.admin.write(f"{CARDS}/{attacker}-as-{victim}.softcard", json.dumps(cards[attacker]), mode=0o600)
    return f"{attacker}-as-{victim}"


def restart_sssd(world: World) -> None:
    """What systemd does after the product has written SSSD's settings."""
    daemons.pop().kill()
    daemons.append(run_sssd(world))


def by_sssd(world: World, account: str, code: str) -> str:
    """What ``su -`` says in the end, with the session code typed if SSSD asks for one."""
    become = ["setpriv", "--reuid=guest", "--regid=guest", "--init-groups", "--reset-env"]
    su = Terminal(world.remote, [*become, "su", "-", account, "-c", "id -un"])
    wait_until(lambda: bool(SSSD_SAYS.search(su.process.output)), "SSSD's answer", 20)
    if "PIN for" not in su.process.output:  # it knows no account for this card, and waits for another one
        su.process.kill()
        return ""
    su.answer(f"PIN for {account}: ", code)
    su.process.wait(20)
    return su.process.output.splitlines()[-1].strip()


@pytest.mark.parametrize(
    ("attacker", "victim"), [("bob", "ann"), ("ann", "bob")], ids=["sorted after", "sorted before"]
)
def test_a_certificate_with_anothers_names_opens_nothing_of_the_others(
    world: World, attacker: str, victim: str
) -> None:
    before = world.remote.read(MAPPING)
    with world.inserted(forge(world, attacker, victim), entry="code") as connection:
        wait_for_card(world.remote)
        restart_sssd(world)
        assert by_sssd(world, victim, code_of(connection)) != victim
        su = at_terminal(world, "guest", "su", victim, "-c", "id -un")
        su.answer("smart card PIN: ", code_of(connection))
        assert "Authentication failure" in output_of(su)
    assert world.remote.read(MAPPING) == before, "what came in over the network is no part of what root paired"
    assert "certmap" not in world.remote.run(["cat", SSSD_RULES], check=False).stdout


@pytest.mark.parametrize("person", ["ann", "bob"])
def test_nobody_is_locked_out_by_a_forger(world: World, person: str) -> None:
    with world.inserted(forge(world, "bob" if person == "ann" else "ann", person)):
        wait_for_card(world.remote)
    with world.inserted(person):
        wait_for_card(world.remote)
        assert output_of(at_terminal(world, "guest", "su", person, "-c", "id -un")).splitlines()[-1] == person


def test_a_name_that_would_be_a_rule_of_its_own_changes_nothing(world: World) -> None:
    """The paired certificate itself can have any names: root looks at whom the file came from, not at its subject."""
    before = world.remote.read(MAPPING)
    names = r"CN=.*$|^CN\=root -\> root"
    world.add_person("eve", ["9A=P256"], more=["--subject", names])
    (added,) = set(world.remote.read(MAPPING).splitlines()) - set(before.splitlines())
    assert added.endswith(" -> eve")
    assert "root" not in added
    assert "certmap" not in world.remote.run(["cat", SSSD_RULES], check=False).stdout
