"""A hostile remote has blocks signed that look innocent, and makes a proof for another remote of them.

The attacks run against everything that ``signing_blocks`` accepts, and against what it would accept if its rule were
weaker, so that it is known that they work.
"""

from __future__ import annotations

import itertools
import math
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from sra.admin.guard.guard import MAX_USES
from sra.admin.guard.signing_blocks import DIGEST_INFOS, MASK_HASHES, PSS_HASHES, read_rsa
from sra.errors import RefusedError
from sra.identity import certificates, challenges
from sra.piv.keys import Algorithm, KeyReply, KeyRequest, Operation, Slot
from tests import rsa_forgery
from tests.admin.guard_scene import TYPED, Scene
from tests.memory_card import make_certificate, private_key
from tests.rsa_forgery import Family

RSA = [Algorithm.RSA_2048, Algorithm.RSA_3072, Algorithm.RSA_4096]
SIZES = [each.size for each in (Algorithm.RSA_1024, *RSA)]
ENOUGH = 128
"""Work that nobody does, as a power of 2."""
each_algorithm = pytest.mark.parametrize("algorithm", RSA, ids=lambda algorithm: algorithm.name)


def modulus_of(algorithm: Algorithm) -> int:
    return cast("rsa.RSAPrivateKey", private_key(algorithm)).public_key().public_numbers().n


def challenge(algorithm: Algorithm) -> bytes:
    """What another remote wants to be signed, which the hostile one knows."""
    return challenges.key_request(algorithm, bytes(range(32))).input


def longest_salt(size: int, length: int, mask: str) -> int | None:
    """Bytes of the longest salt that is accepted; ``None`` if not even an empty one is."""
    tried = {*range(length + 4), *range(length, size - length - 1, 29)}
    salts = [salt for salt in tried if salt < size - length - 1 and _is_read(size, length, mask, salt)]
    return max(salts, default=None)


def _is_read(size: int, length: int, mask: str, salt: int) -> bool:
    return read_rsa(rsa_forgery.pss(size, length, mask, salt).any()) is not None


def accepted(size: int, masks: tuple[str, ...] = ("sha256", "sha512")) -> list[Family]:
    """Of every kind of block that is accepted, the family with the largest free part."""
    found = [rsa_forgery.pkcs1(size, name) for name in DIGEST_INFOS]
    found = [family for family in found if read_rsa(family.any()) is not None]
    for length, mask in itertools.product(PSS_HASHES, masks):
        salts = [salt for salt in (0, length, size - length - 18, size - length - 2) if salt >= 0]
        salts = [salt for salt in salts if _is_read(size, length, mask, salt)]
        found += [rsa_forgery.pss(size, length, mask, max(salts))] if salts else []
    return found


@each_algorithm
def test_no_proof_for_another_remote_is_made_of_two_or_three_blocks_that_are_accepted(algorithm: Algorithm) -> None:
    modulus, target = modulus_of(algorithm), int.from_bytes(challenge(algorithm), "big")
    families = sorted(accepted(algorithm.size), key=lambda family: (-family.bits, family.shift))
    widest = [*{(family.shift, family.bits): family for family in families}.values()][:4]
    for first, second in itertools.product(widest, widest):
        more = target * int.from_bytes(first.any(), "big") % modulus
        assert rsa_forgery.relate(target, modulus, first, second) is None
        assert rsa_forgery.relate(more, modulus, first, second) is None


@each_algorithm
def test_three_signatures_of_accepted_blocks_do_not_make_a_fourth(algorithm: Algorithm) -> None:
    for family in accepted(algorithm.size):
        assert rsa_forgery.relate_four(modulus_of(algorithm), family) is None


@each_algorithm
def test_the_attacks_work_where_more_of_a_block_is_free(algorithm: Algorithm) -> None:
    modulus, target, size = modulus_of(algorithm), int.from_bytes(challenge(algorithm), "big"), algorithm.size
    half, third = (rsa_forgery.pss(size, 32, "sha256", salt) for salt in (size // 2 + 2, size // 3 + 3))
    more, less = (rsa_forgery.pss(size, 32, "sha256", salt) for salt in (size * 5 // 8, size * 3 // 8 + 4))
    assert rsa_forgery.relate(target, modulus, half, half) is not None
    assert rsa_forgery.relate(target, modulus, more, less) is not None
    assert rsa_forgery.relate(target, modulus, less, more) is not None
    assert rsa_forgery.relate_four(modulus, third) is not None


@each_algorithm
async def test_what_the_guard_lets_pass_makes_no_proof_for_another_remote(algorithm: Algorithm) -> None:
    """From end to end: two signatures through the guard, and what another remote says of what is made of them."""
    modulus, target = modulus_of(algorithm), challenge(algorithm)
    size = algorithm.size
    scene = Scene({Slot.AUTHENTICATION: algorithm})
    await scene.guard.answer(TYPED)
    for salt in (size - 32 - 18, size - 32 - 2, size * 5 // 8, size // 2 + 2):
        family = rsa_forgery.pss(size, 32, "sha256", salt)
        blocks = rsa_forgery.relate(int.from_bytes(target, "big"), modulus, family, family)
        assert blocks is not None
        signatures = [await _signature(scene, algorithm, block) for block in blocks]
        if all(signatures):
            forged = rsa_forgery.combined(signatures[0], signatures[1], modulus)
            certificate = certificates.parse(make_certificate(private_key(algorithm)))
            assert not challenges.is_proven(certificate, bytes(range(32)), forged), f"a salt of {salt} bytes"
        assert not any(signatures)


async def _signature(scene: Scene, algorithm: Algorithm, block: bytes) -> bytes:
    request = KeyRequest(Slot.AUTHENTICATION, algorithm, Operation.SIGN, block)
    try:
        reply = await scene.guard.answer(request)
    except RefusedError:
        assert "rsa_pss_saltlen:digest" in await scene.refusal(request)
        return b""
    assert isinstance(reply, KeyReply)
    return reply.output


# The rule, as a table


@pytest.mark.parametrize("size", SIZES)
def test_at_most_a_quarter_of_a_block_is_free(size: int) -> None:
    for name, (_, length) in DIGEST_INFOS.items():
        is_read = read_rsa(rsa_forgery.pkcs1(size, name).any()) is not None
        assert is_read is (4 * length <= size), f"{name} on {size} bytes"
    for length, mask in itertools.product(PSS_HASHES, ("sha256", "sha1")):
        longest = longest_salt(size, length, mask)
        assert longest == min(length, size // 4, size - length - 2), f"{length}, {mask} on {size} bytes"


def test_the_table_of_key_sizes_and_hashes() -> None:
    shares = {(8 * size, 8 * length): length / size for size in SIZES for length in (20, 28, 32, 48, 64)}
    too_free = {pair for pair, share in shares.items() if share > 1 / 4}
    assert too_free == {(1024, 384), (1024, 512)}
    assert shares[2048, 512] == shares[1024, 256] == 1 / 4


@pytest.mark.parametrize("size", SIZES)
def test_to_blind_a_challenge_until_it_looks_like_a_block_is_too_much_work(size: int) -> None:
    """A blinded block is random, so each fixed bit halves the odds; H is as good as free, since nobody can check it."""
    for length in {length for _, length in DIGEST_INFOS.values() if 4 * length <= size}:
        assert 8 * (size - length) - math.log2(len(DIGEST_INFOS)) >= ENOUGH
    for length in PSS_HASHES:
        salt = min(length, size // 4)
        encodings = len(PSS_HASHES) * len(MASK_HASHES) * (salt + 1)
        assert 8 * (size - length - salt) - math.log2(encodings) >= ENOUGH


@pytest.mark.parametrize("size", SIZES)
def test_to_try_values_of_h_until_a_relation_of_two_blocks_exists_is_too_much_work(size: int) -> None:
    """For two values of H a relation exists with the odds 2^(2 * salt - n), and a birthday takes the square root."""
    free = max(min(length, size // 4) for length in PSS_HASHES)
    assert (8 * size - 2 * 8 * free) // 2 >= ENOUGH


@pytest.mark.parametrize("size", [each.size for each in RSA])
def test_too_few_signatures_are_made_for_a_factor_base(size: int) -> None:
    """Desmedt and Odlyzko: as many smooth blocks as there are primes in the base, each signed once.

    Free bits make one factor of a block, or its multiple small: about (n - free) / 2 bits have to be smooth at best.
    The odds are u^-u for numbers of u times the bits of the largest prime.
    """
    largest_prime = math.log2(MAX_USES * math.log(MAX_USES) * 1.2)
    smooth = (8 * size - 8 * (size // 4)) / 2
    u = smooth / largest_prime
    assert u * math.log2(u) >= ENOUGH


# Other spellings of the same residue


@each_algorithm
def test_neither_the_negative_nor_a_larger_value_of_a_challenge_is_a_block(algorithm: Algorithm) -> None:
    """sig(-E) = -sig(E), since e is odd; and a card may reduce E + n, where that fits."""
    modulus, target = modulus_of(algorithm), int.from_bytes(challenge(algorithm), "big")
    for value in (modulus - target, target + modulus):
        if value < 1 << 8 * algorithm.size:
            assert read_rsa(value.to_bytes(algorithm.size, "big")) is None


@each_algorithm
def test_a_block_is_below_every_modulus_and_its_negative_is_none(algorithm: Algorithm) -> None:
    for family in accepted(algorithm.size):
        value = int.from_bytes(family.any(), "big")
        assert value < 1 << 8 * algorithm.size - 1 <= modulus_of(algorithm)
        assert read_rsa((modulus_of(algorithm) - value).to_bytes(algorithm.size, "big")) is None


@each_algorithm
def test_a_blinded_challenge_is_no_block(algorithm: Algorithm) -> None:
    modulus, target = modulus_of(algorithm), int.from_bytes(challenge(algorithm), "big")
    for factor in range(2, 60):
        blinded = target * pow(factor, 65537, modulus) % modulus
        for value in (blinded, modulus - blinded):
            assert read_rsa(value.to_bytes(algorithm.size, "big")) is None
