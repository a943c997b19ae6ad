"""Attacks on RSA signatures by the fact that RSA multiplies: signatures of some blocks make that of another one.

A ``Family`` is a set of blocks of which a part is free. ``relate`` solves E * m1 = m2 (mod n) with m1 and m2 from two
families, by a lattice of dimension 2; ``relate_four`` solves m1 * m2 = m3 * m4 (mod n) within one family, by continued
fractions (both: Brier, Clavier, Coron, Naccache, CRYPTO 2001). They return ``None`` where the free parts are too small.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass

from sra.admin.guard import signing_blocks

Point = tuple[int, int]


@dataclass(frozen=True)
class Family:
    """The blocks ``fixed + (x << shift)`` with x below 2 ** ``bits``, all of ``size`` bytes."""

    fixed: int
    shift: int
    bits: int
    size: int

    def block(self, x: int) -> bytes:
        return (self.fixed + (x << self.shift)).to_bytes(self.size, "big")

    def holds(self, x: int) -> bool:
        return 0 <= x < 1 << self.bits

    def any(self) -> bytes:
        return self.block(secrets.randbits(self.bits) if self.bits else 0)


def pss(size: int, hash_length: int, mask: str, salt_length: int) -> Family:
    """PSS encodings with one value of H, that nobody can tell from a hash, and any salt of this length."""
    while True:
        seed = secrets.token_bytes(hash_length)
        length = size - hash_length - 1
        padded = b"\x01".rjust(length - salt_length, b"\x00") + bytes(salt_length)
        under = int.from_bytes(padded, "big") ^ int.from_bytes(signing_blocks._mgf1(seed, length, mask), "big")
        under = under & ((1 << 8 * length - 1) - 1) & ~((1 << 8 * salt_length) - 1)
        if under >> 8 * length - 2 == 0:  # well below the modulus
            fixed = (under << 8 * hash_length | int.from_bytes(seed, "big")) << 8 | signing_blocks.PSS_TRAILER
            return Family(fixed, 8 * (hash_length + 1), 8 * salt_length, size)


def pkcs1(size: int, name: str) -> Family:
    """PKCS#1 v1.5 encodings of any digest of this hash."""
    info, length = signing_blocks.DIGEST_INFOS[name]
    block = b"\x00\x01" + b"\xff" * (size - 3 - len(info) - length) + b"\x00" + info + bytes(length)
    return Family(int.from_bytes(block, "big"), 0, 8 * length, size)


def relate(target: int, modulus: int, first: Family, second: Family) -> tuple[bytes, bytes] | None:
    """m1 of the first and m2 of the second family with target * m1 = m2 (mod n), so that sig(target) is known."""
    inverse = pow(1 << second.shift, -1, modulus)
    slope = target * (1 << first.shift) * inverse % modulus
    offset = (target * first.fixed - second.fixed) * inverse % modulus
    left, right = 1 << max(0, second.bits - first.bits), 1 << max(0, first.bits - second.bits)  # for equal sides
    basis = _reduced((left, slope * right), (0, modulus * right))
    x, y = _nearest(basis, ((1 << first.bits) // 2 * left, ((1 << second.bits) // 2 - offset) * right))
    x, y = x // left, y // right + offset
    if not first.holds(x) or not second.holds(y):
        return None
    m1, m2 = first.block(x), second.block(y)
    assert (target * int.from_bytes(m1, "big") - int.from_bytes(m2, "big")) % modulus == 0
    return m1, m2


def relate_four(modulus: int, family: Family) -> tuple[bytes, bytes, bytes, bytes] | None:
    """m1, m2, m3, m4 of the family with m1 * m2 = m3 * m4 (mod n): three signatures make the fourth.

    With P the fixed part, (P + t + y)(P + t + z) = (P + t)(P + t + y + z + w) where w * P = y * z - w * t.
    """
    fixed = family.fixed * pow(1 << family.shift, -1, modulus) % modulus
    third = modulus.bit_length() // 3
    for w, u in _small_multiples(fixed, modulus, 1 << third):
        for _ in range(20):
            y = secrets.randbits(third) | 1
            if math.gcd(y, w) != 1:
                continue
            z = u * pow(y, -1, w) % w
            t = (y * z - u) // w
            parts = _moved((t + y, t + z, t, t + y + z + w), family)
            if parts is not None:
                m1, m2, m3, m4 = (int.from_bytes(each, "big") for each in parts)
                assert (m1 * m2 - m3 * m4) % modulus == 0
                return parts
    return None


def _moved(parts: tuple[int, int, int, int], family: Family) -> tuple[bytes, bytes, bytes, bytes] | None:
    if not all(family.holds(part) for part in parts) or len(set(parts)) != 4:
        return None
    m1, m2, m3, m4 = (family.block(part) for part in parts)
    return m1, m2, m3, m4


def _small_multiples(value: int, modulus: int, bound: int) -> list[tuple[int, int]]:
    """(w, u) with u = w * value (mod n), w about ``bound`` and u small, of either sign: from Euclid's algorithm."""
    r0, r1, s0, s1 = modulus, value, 0, 1
    found = []
    while r1 and abs(s1) < bound << 8:
        if abs(s1) > bound >> 8:
            found.append((abs(s1), r1 if s1 > 0 else -r1))
        quotient = r0 // r1
        r0, r1, s0, s1 = r1, r0 - quotient * r1, s1, s0 - quotient * s1
    return found


def combined(signature1: bytes, signature2: bytes, modulus: int) -> bytes:
    """The signature of E from those of m1 and m2."""
    first, second = (int.from_bytes(each, "big") for each in (signature1, signature2))
    return (second * pow(first, -1, modulus) % modulus).to_bytes(len(signature1), "big")


def _dot(a: Point, b: Point) -> int:
    return a[0] * b[0] + a[1] * b[1]


def _rounded(numerator: int, denominator: int) -> int:
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    return (2 * numerator + denominator) // (2 * denominator)


def _reduced(u: Point, v: Point) -> tuple[Point, Point]:
    """Gauss's reduction."""
    while True:
        if _dot(u, u) > _dot(v, v):
            u, v = v, u
        m = _rounded(_dot(u, v), _dot(u, u))
        if m == 0:
            return u, v
        v = (v[0] - m * u[0], v[1] - m * u[1])


def _nearest(basis: tuple[Point, Point], goal: Point) -> Point:
    """A vector of the lattice near the goal (Babai's rounding)."""
    u, v = basis
    d = u[0] * v[1] - u[1] * v[0]
    i, j = _rounded(goal[0] * v[1] - goal[1] * v[0], d), _rounded(u[0] * goal[1] - u[1] * goal[0], d)
    return i * u[0] + j * v[0], i * u[1] + j * v[1]
