"""OpenSC takes the inserted card for a card in a reader: every key of every slot does what it is for."""

from collections.abc import Iterator

import pytest

from lab.product import World
from tests.system import opensc
from tests.system.opensc import IDS, decrypt, derive, pkcs11_tool, sign, verify

EVERY_SLOT = "9A,9C,9D,9E,retired"

ANN = {"9A": "RSA2048", "9C": "P256", "9D": "RSA3072", "9E": "P384", "82": "P384", "95": "RSA2048"}
BEA = {"9A": "P384", "9C": "RSA3072", "9D": "P256", "9E": "RSA2048", "82": "RSA3072", "95": "P256"}
CARDS = {"ann": ANN, "bea": BEA}
CURVES = {"P256": "prime256v1", "P384": "secp384r1"}


@pytest.fixture(scope="module", params=CARDS)
def card(request: pytest.FixtureRequest, world: World) -> Iterator[dict[str, str]]:
    """A card with a key in every kind of slot, and what its keys are."""
    name = request.param
    world.add_person(name, [f"{slot}={key}" for slot, key in CARDS[name].items()])
    with world.inserted(name, "--slots", EVERY_SLOT):
        yield CARDS[name]


def test_every_key_and_its_certificate_are_listed(world: World, card: dict[str, str]) -> None:
    listed = pkcs11_tool(world.remote, "--login", "--list-objects").stdout
    kinds = ("Private Key Object", "Public Key Object", "Certificate Object")
    found = dict.fromkeys(kinds, 0)
    for line in listed.splitlines():
        for kind in kinds:
            found[kind] += line.startswith(kind)
    assert found == dict.fromkeys(kinds, len(card))
    assert all(f"ID:         {IDS[slot]}" in listed for slot in card)


@pytest.mark.parametrize("slot", ["9A", "9C", "9E"])
def test_signing_keys_sign_in_every_usual_way(world: World, card: dict[str, str], slot: str) -> None:
    if card[slot] in CURVES:
        ways = [("ECDSA-SHA256", "sha256"), ("ECDSA-SHA384", "sha384"), ("ECDSA-SHA1", "sha1")]
    else:
        ways = [(f"SHA{size}-RSA-PKCS", f"sha{size}") for size in (1, 256, 384, 512)]
    for mechanism, digest in ways:
        sign(world.remote, slot, mechanism)
        assert verify(world.remote, slot, digest), (slot, card[slot], mechanism)


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_rsa_keys_sign_with_pss(world: World, card: dict[str, str], digest: str) -> None:
    for slot in ("9A", "9C", "9E"):
        if card[slot] not in CURVES:
            sign(world.remote, slot, f"{digest.upper()}-RSA-PKCS-PSS")
            options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]
            assert verify(world.remote, slot, digest, *options), (slot, card[slot])


@pytest.mark.parametrize("slot", ["9D", "82", "95"])
def test_management_keys_decrypt_or_derive(world: World, card: dict[str, str], slot: str) -> None:
    if card[slot] in CURVES:
        ours, theirs = derive(world.remote, slot, CURVES[card[slot]])
        assert ours == theirs
        assert len(ours) == {"P256": 64, "P384": 96}[card[slot]]
    else:
        assert decrypt(world.remote, slot, "RSA-PKCS") == opensc.TEXT
        oaep = ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256"]
        more = ["--hash-algorithm", "SHA256", "--mgf", "MGF1-SHA256"]
        assert decrypt(world.remote, slot, "RSA-PKCS-OAEP", oaep, more) == opensc.TEXT
