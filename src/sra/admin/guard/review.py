"""Whether a key request is one that the inserted card may be asked at all, whoever says yes to it. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec

from sra.admin.guard import signing_blocks
from sra.admin.guard.signing_blocks import Signed
from sra.errors import RefusalCode, RefusedError
from sra.identity import challenges
from sra.piv.keys import Algorithm, KeyDescription, KeyRequest, Operation, Slot, purpose

RAW = Signed("unknown", b"")
"""What an RSA block signs that is no known encoding."""

_UNCOMPRESSED = 0x04
"""The first byte of a point ``04 X Y`` (SEC 1, 2.3.3)."""
_CURVES: dict[Algorithm, ec.EllipticCurve] = {Algorithm.P256: ec.SECP256R1(), Algorithm.P384: ec.SECP384R1()}


def review(request: KeyRequest, inserted: Mapping[Slot, KeyDescription], *, allow_raw_rsa: bool = False) -> Signed:
    """What the request would sign; ``RefusedError`` if it may not be done.

    ``allow_raw_rsa`` lets RSA blocks pass that are no signature in a known encoding, except the challenge's: then a
    hostile remote can have anything signed, a proof for another machine among it.
    """
    key = inserted.get(request.slot)
    if key is None:
        raise not_allowed("that key was not inserted")
    if request.algorithm is not key.algorithm:
        raise not_allowed("the key has another algorithm")
    if request.operation is not purpose(key.slot, key.algorithm):
        raise not_allowed(f"a key of slot {key.slot:02X} is not for that")
    if challenges.carries_tag(request):
        raise not_allowed("it would pass for a proof of who you are")
    return _read_input(request, allow_raw_rsa=allow_raw_rsa)


def _read_input(request: KeyRequest, *, allow_raw_rsa: bool) -> Signed:
    """What the input says: what is signed, or nothing that can be told."""
    size = request.algorithm.size
    if request.operation is Operation.DERIVE:
        return _check_point(_sized(request, 1 + 2 * size))
    if request.operation is Operation.DECRYPT:
        _sized(request, size)
        return Signed("", b"")
    if not request.algorithm.is_rsa:
        return _read_digest(request.input, size)
    signed = signing_blocks.read_rsa(_sized(request, size).input)
    if signed is None and not allow_raw_rsa:
        raise not_allowed(signing_blocks.why_not(request.input))
    return signed or RAW


def _read_digest(digest: bytes, size: int) -> Signed:
    """The digest, not longer than the curve: a card would cut it, and what is left could carry the tag."""
    signed = signing_blocks.read_ec(digest) if len(digest) <= size else None
    if signed is None:
        raise not_allowed("what is to be signed is no hash in a known form")
    return signed


def _check_point(request: KeyRequest) -> Signed:
    """Refuse a point that is not on the key's curve: a card that does not look would give its key away, bit by bit.

    Both curves have a prime order, so a point on them is in the one group that there is; infinity has no such encoding.
    """
    try:
        is_on_curve = request.input[0] == _UNCOMPRESSED
        ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[request.algorithm], request.input)
    except ValueError:
        is_on_curve = False
    if not is_on_curve:
        raise not_allowed("the point to derive from is not on the key's curve")
    return Signed("", b"")


def _sized(request: KeyRequest, size: int) -> KeyRequest:
    if len(request.input) != size:
        raise not_allowed("its input has a wrong length")
    return request


def not_allowed(why: str) -> RefusedError:
    """The guard's own refusal."""
    return RefusedError(RefusalCode.NOT_ALLOWED, f"The admin's guard refused: {why}.")
