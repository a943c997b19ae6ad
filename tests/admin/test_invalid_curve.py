"""A hostile remote has secrets derived from points that are on another curve, to learn the card's key from them.

The formulas of a curve never use its last coefficient, so a card that does not look computes on a curve of the asker's
choice, where the point may have a small order: the answer then tells the key modulo that order.
"""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sra.errors import RefusedError
from sra.piv.keys import Algorithm, KeyReply, KeyRequest, Operation, Slot
from tests.admin.guard_scene import TYPED, Scene
from tests.memory_card import MemoryCard, private_key

PRIMES = {
    Algorithm.P256: 2**256 - 2**224 + 2**192 + 2**96 - 1,
    Algorithm.P384: 2**384 - 2**128 - 2**96 + 2**32 - 1,
}
CURVES: dict[Algorithm, ec.EllipticCurve] = {Algorithm.P256: ec.SECP256R1(), Algorithm.P384: ec.SECP384R1()}
Point = tuple[int, int] | None
each_curve = pytest.mark.parametrize("algorithm", PRIMES, ids=lambda algorithm: algorithm.name)


def added(p: int, left: Point, right: Point) -> Point:
    """The sum on any curve y^2 = x^3 - 3 x + b."""
    if left is None or right is None:
        return left or right
    (x1, y1), (x2, y2) = left, right
    if x1 == x2 and (y1 + y2) % p == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, p) if left == right else (y2 - y1) * pow(x2 - x1, -1, p)
    x = (slope * slope - x1 - x2) % p
    return x, (slope * (x1 - x) - y1) % p


def times(p: int, factor: int, point: Point) -> Point:
    result: Point = None
    while factor:
        if factor & 1:
            result = added(p, result, point)
        point, factor = added(p, point, point), factor >> 1
    return result


def of_order_three(p: int) -> tuple[int, int]:
    """A point of order 3 on some curve y^2 = x^3 - 3 x + b: b is where the third division polynomial is zero."""
    for x in range(2, 100):
        b = (9 - 3 * x**4 + 18 * x * x) * pow(12 * x, -1, p) % p
        square = (x**3 - 3 * x + b) % p
        y = pow(square, (p + 1) // 4, p)
        if y * y % p == square:
            return x, y
    raise AssertionError


class CarelessCard(MemoryCard):
    """A card that computes with every point that it is given; the point at infinity has no coordinates: zero."""

    async def use_key(self, request: KeyRequest) -> KeyReply:
        self.uses.append(request)
        size, p = request.algorithm.size, PRIMES[request.algorithm]
        x, y = (int.from_bytes(part, "big") for part in (request.input[1 : 1 + size], request.input[1 + size :]))
        product = times(p, secret(request.algorithm), (x, y))
        return KeyReply((product[0] if product else 0).to_bytes(size, "big"))


def secret(algorithm: Algorithm) -> int:
    private = cast("ec.EllipticCurvePrivateKey", private_key(algorithm, slot=Slot.KEY_MANAGEMENT))
    return private.private_numbers().private_value


def encoded(algorithm: Algorithm, x: int, y: int, first: bytes = b"\x04") -> KeyRequest:
    size = algorithm.size
    point = first + x.to_bytes(size, "big") + y.to_bytes(size, "big")
    return KeyRequest(Slot.KEY_MANAGEMENT, algorithm, Operation.DERIVE, point)


def scene_of(algorithm: Algorithm) -> Scene:
    scene = Scene({Slot.AUTHENTICATION: Algorithm.P256, Slot.KEY_MANAGEMENT: algorithm})
    scene.card.__class__ = CarelessCard
    return scene


@each_curve
def test_the_attack_learns_the_key_of_a_card_that_does_not_look(algorithm: Algorithm) -> None:
    card, p = CarelessCard({Slot.KEY_MANAGEMENT: algorithm}), PRIMES[algorithm]
    for order, (x, y) in {2: (5, 0), 3: of_order_three(p)}.items():
        reply = asyncio.run(card.use_key(encoded(algorithm, x, y)))
        assert (int.from_bytes(reply.output, "big") == 0) is (secret(algorithm) % order == 0)


@each_curve
async def test_the_guard_lets_no_point_of_another_curve_reach_the_card(algorithm: Algorithm) -> None:
    p = PRIMES[algorithm]
    good = ec.derive_private_key(7, CURVES[algorithm]).public_key()
    numbers = good.public_numbers()
    points = [
        encoded(algorithm, 5, 0),
        encoded(algorithm, *of_order_three(p)),
        encoded(algorithm, 0, 0),
        encoded(algorithm, 1, 0),
        encoded(algorithm, numbers.x, (numbers.y + 1) % p),
        encoded(algorithm, p, numbers.y),
        encoded(algorithm, 2 ** (8 * algorithm.size) - 1, numbers.y),
        *(encoded(algorithm, numbers.x, numbers.y, bytes([first])) for first in (0, 2, 3, 5, 6, 7)),
    ]
    scene = scene_of(algorithm)
    await scene.guard.answer(TYPED)
    for request in points:
        assert "not on the key's curve" in await scene.refusal(request)
    point = good.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    reply = await scene.guard.answer(KeyRequest(Slot.KEY_MANAGEMENT, algorithm, Operation.DERIVE, point))
    assert isinstance(reply, KeyReply)
    assert len(reply.output) == algorithm.size


@each_curve
async def test_a_point_of_the_other_curve_is_none_of_this_one(algorithm: Algorithm) -> None:
    other = Algorithm.P384 if algorithm is Algorithm.P256 else Algorithm.P256
    point = ec.derive_private_key(7, CURVES[other]).public_key()
    data = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    scene = scene_of(algorithm)
    await scene.guard.answer(TYPED)
    for spoilt in (data, data[: 1 + 2 * algorithm.size].ljust(1 + 2 * algorithm.size, b"\x00"), data[:-1], b""):
        with pytest.raises(RefusedError):
            await scene.guard.answer(KeyRequest(Slot.KEY_MANAGEMENT, algorithm, Operation.DERIVE, spoilt))
    assert scene.card.uses == []
