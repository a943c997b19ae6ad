"""The test that OpenSC brings along (pkcs11-tool --test), and what it asks of RSA keys that nobody should get."""

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from lab import product
from lab.hosts import CHECKOUT
from lab.product import PIN, PYTHON, World
from tests.system.opensc import pkcs11_tool

SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


@pytest.mark.parametrize(
    ("name", "slots"),
    [
        ("p256", ["9A=P256", "9C=P256", "9D=RSA2048"]),
        ("p384", ["9A=P384", "9C=P256", "9D=RSA3072"]),
    ],
)
def test_it_finds_no_errors(world: World, name: str, slots: list[str]) -> None:
    world.add_person(name, slots)
    with world.inserted(name) as connection:
        said = pkcs11_tool(world.remote, "--test", "--login").stdout
        assert said.splitlines()[-1] == "No errors"
        assert connection.output.count("Key 9D decrypted") == 4
        assert "Refused" not in connection.output


def test_the_guard_refuses_the_random_block_that_it_has_an_rsa_key_sign(world: World) -> None:
    world.add_person("rosa", ["9A=RSA2048", "9C=RSA3072", "9D=RSA2048"])
    with world.inserted("rosa") as connection:
        tested = pkcs11_tool(world.remote, "--test", "--login", check=False)
        assert tested.returncode == 1
        assert "C_SignFinal failed" in tested.stdout
        said = connection.output
        assert "sign with slot 9A: The admin's guard refused: what is to be signed is no hash in a known form" in said
        assert "Key 9A signed" not in said


def test_it_finds_no_errors_with_rsa_in_every_slot_where_the_person_allows_any_block(world: World) -> None:
    with world.inserted("rosa", "--allow-raw-rsa") as connection:
        said = pkcs11_tool(world.remote, "--test", "--login").stdout
        assert said.splitlines()[-1] == "No errors"
        assert connection.output.count("Key 9A signed") > 10
        assert connection.output.count("Key 9D decrypted") == 4
        assert "Refused" not in connection.output


def test_a_program_without_pkcs11_uses_rsa_4096_which_opensc_does_not_know(world: World) -> None:
    pem = world.add_person("rita", ["9A=RSA4096", "9D=RSA4096"])
    digest = SHA256_INFO + hashlib.sha256(b"a text").digest()
    block = b"\x00\x01" + b"\xff" * (512 - 3 - len(digest)) + b"\x00" + digest
    with world.inserted("rita", entry="forward"):
        raw = [PYTHON, CHECKOUT / "tests/system/raw_rsa.py"]
        signature = world.remote.run([*raw, "9A", "16", PIN, block.hex()]).stdout
        public_key(pem).verify(bytes.fromhex(signature), b"a text", padding.PKCS1v15(), hashes.SHA256())
        encrypted = public_key(product.certificate(world.admin, "rita", "9D")).encrypt(b"secret", padding.PKCS1v15())
        decrypted = world.remote.run([*raw, "9D", "16", PIN, encrypted.hex()]).stdout
        assert bytes.fromhex(decrypted).endswith(b"\x00secret")
        refused = world.remote.run([*raw, "9A", "16", PIN, encrypted.hex()], check=False)
        assert (refused.returncode, refused.stderr) == (1, "refused: 6985\n")


def public_key(pem: str) -> rsa.RSAPublicKey:
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    return key
