"""A key behind a PKCS#11 module of the admin's machine (SoftHSM) is lent to the remote, which has no such module."""

from collections.abc import Iterator

import pytest

from lab import product
from lab.hosts import Host, two_hosts
from lab.product import CARDS, SRA, World, remote_at_work
from tests.system.opensc import TEXT, decrypt, derive, pkcs11_tool, sign, verify

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN, SO_PIN = product.PIN, "31415926"
CARD = "pkcs11:ann"
CONFIG = "/root/settings"
FOLDER = "/root/hsm"

KEYS = {"01": ("digitalSignature", "rsa:2048"), "02": ("nonRepudiation", "EC:prime256v1"),
        "03": ("keyEncipherment", "rsa:2048"), "05": ("keyAgreement", "EC:secp384r1")}  # fmt: skip
"""CKA_ID -> what the certificate allows, and the key's type; the IDs are those that OpenSC gives 9A, 9C, 9D and 82."""

_USAGES = {"digitalSignature": "sign", "nonRepudiation": "sign", "keyEncipherment": "decrypt", "keyAgreement": "derive"}

CERTIFICATE = """\
set -eu
openssl genpkey -algorithm "$2" -pkeyopt "$3" -outform DER -out key.der
openssl req -new -x509 -key key.der -keyform DER -subj "/CN=Ann" -days 30 -outform DER -out cert.der \
    -addext basicConstraints=CA:FALSE -addext "keyUsage=critical,$4" -addext extendedKeyUsage=clientAuth
openssl x509 -inform DER -in cert.der -out "$1.pem"
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The admin has a SoftHSM with four keys, of which the first is paired with an account of the remote."""
    with two_hosts() as (admin, remote):
        make_hsm(admin)
        world = remote_at_work(admin, remote)
        world.remote.add_account("ann", "a password that no test uses")
        product.pair(remote, "ann", admin.read(f"{FOLDER}/01.pem"))
        yield world


def make_hsm(admin: Host) -> None:
    admin.run(["mkdir", "-p", f"{FOLDER}", CARDS])
    admin.run(["softhsm2-util", "--init-token", "--free", "--label", "ann", "--pin", PIN, "--so-pin", SO_PIN])
    for key_id, (usage, kind) in KEYS.items():
        algorithm, _, size = kind.partition(":")
        option = f"rsa_keygen_bits:{size}" if algorithm == "rsa" else f"ec_paramgen_curve:{size}"
        admin.run(["sh", "-c", CERTIFICATE, "sh", key_id, algorithm, option, usage], folder=FOLDER)
        private = ["--private", "--sensitive", f"--usage-{_USAGES[usage]}"]
        for kind_of, file, more in (("privkey", "key.der", private), ("cert", "cert.der", [])):
            login = ["--module", MODULE, "--token-label", "ann", "--login", "--pin", PIN]
            what = ["--write-object", file, "--type", kind_of, "--id", key_id, *more]
            admin.run(["pkcs11-tool", *login, *what], folder=FOLDER)


def test_it_is_listed_with_its_slots(world: World) -> None:
    listed = world.admin.run([SRA, "cards", "--module", MODULE, "--cards-dir", CARDS]).stdout
    assert "pkcs11:ann" in listed
    assert "9A RSA_2048, 9C P256, 9D RSA_2048, 82 P384" in listed


def test_its_keys_sign_decrypt_and_derive_on_the_remote(world: World) -> None:
    connection = product.insert(world.admin, world.service, CARD, "--module", MODULE)
    assert pkcs11_tool(world.remote, "--list-objects").stdout.count("Certificate Object") == 4
    for mechanism, digest, options in (
        ("SHA256-RSA-PKCS", "sha256", []),
        ("SHA256-RSA-PKCS-PSS", "sha256", ["-sigopt", "rsa_padding_mode:pss"]),
    ):
        sign(world.remote, "9A", mechanism)
        assert verify(world.remote, "9A", digest, *options)
    for _ in range(2):
        sign(world.remote, "9C", "ECDSA-SHA256")
        assert verify(world.remote, "9C", "sha256")
    assert decrypt(world.remote, "9D", "RSA-PKCS") == TEXT
    ours, theirs = derive(world.remote, "82", "secp384r1")
    assert ours == theirs
    connection.terminate()
    assert connection.wait() == 0


def test_it_logs_in_through_pam_with_the_module_in_the_settings(world: World) -> None:
    world.admin.write(f"{CONFIG}/config.toml", f'pkcs11_modules = ["{MODULE}"]\n')
    world.remote.configure_pam_pkcs11("desk", "ann", world.admin.read(f"{FOLDER}/01.pem"))
    connection = product.insert(world.admin, world.service, CARD, "--config-dir", CONFIG)
    said = world.remote.run(["pamtester", "desk", "ann", "authenticate"])
    assert "successfully authenticated" in said.stdout
    connection.terminate()
    assert connection.wait() == 0


def test_only_the_keys_that_were_chosen_are_there(world: World) -> None:
    connection = product.insert(world.admin, world.service, f"{CARD}/9A=01,9D=03", "--module", MODULE)
    assert pkcs11_tool(world.remote, "--list-objects").stdout.count("Certificate Object") == 2
    sign(world.remote, "9A", "SHA256-RSA-PKCS")
    assert verify(world.remote, "9A", "sha256")
    connection.terminate()
    assert connection.wait() == 0


def test_a_wrong_pin_is_told_as_far_as_the_card_tells(world: World) -> None:
    connection = product.connect(world.admin, world.service, CARD, "--module", MODULE, pin="000000")
    assert connection.wait() == 7
    assert "does not tell how many tries are left" in connection.output


def test_the_pin_is_changed_on_the_admins_machine(world: World) -> None:
    for old, new in ((PIN, "newpin77"), ("newpin77", PIN)):
        words = ["card", "change-pin", "--card", CARD, "--module", MODULE, "--cards-dir", CARDS]
        changed = world.admin.run([SRA, *words, "--pin-fd", "0", "--new-pin-fd", "0"], input=f"{old}\n{new}\n")
        assert changed.stdout == f"The PIN of {CARD} is changed.\n"
    connection = product.insert(world.admin, world.service, CARD, "--module", MODULE)
    connection.terminate()
    assert connection.wait() == 0
