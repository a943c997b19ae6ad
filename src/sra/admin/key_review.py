"""Whether a key request is one that the inserted card may be asked at all, whoever says yes to it. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from sra.admin import signing_blocks
from sra.admin.signing_blocks import Signed
from sra.errors import RefusalCode, RefusedError
from sra.identity import challenges
from sra.piv.keys import KeyDescription, KeyRequest, Operation, Slot, purpose

RAW = Signed("unknown", b"")
"""What an RSA block signs that is no known encoding."""


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
        return _sized(request, 1 + 2 * size)
    if request.operation is Operation.DECRYPT:
        return _sized(request, size)
    signed = _read_rsa(request, size) if request.algorithm.is_rsa else _read_digest(request, size)
    if signed is None and not (allow_raw_rsa and request.algorithm.is_rsa):
        raise not_allowed("what is to be signed is no hash in a known form")
    return signed or RAW


def _read_rsa(request: KeyRequest, size: int) -> Signed | None:
    _sized(request, size)
    return signing_blocks.read_rsa(request.input)


def _read_digest(request: KeyRequest, size: int) -> Signed | None:
    return signing_blocks.read_ec(request.input) if len(request.input) <= size else None


def _sized(request: KeyRequest, size: int) -> Signed:
    if len(request.input) != size:
        raise not_allowed("its input has a wrong length")
    return Signed("", b"")


def not_allowed(why: str) -> RefusedError:
    """The guard's own refusal."""
    return RefusedError(RefusalCode.NOT_ALLOWED, f"The admin's guard refused: {why}.")
