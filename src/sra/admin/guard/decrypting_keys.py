"""Which of the card's keys may decrypt for a remote: none that could say who the person is, here or anywhere. No I/O.

To decrypt a block with RSA is to sign it: a hostile remote blinds another remote's challenge, has it "decrypted", and
is the person there. So a key decrypts for remotes only if it is no key that signs, and if its certificate says that it
does not sign: a remote that knows it by that certificate would take what it decrypts for a proof (docs/decisions/0022).
What can't be told counts as a danger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sra.errors import CardError
from sra.identity.usage import only_decrypts
from sra.piv.keys import KeyDescription, Operation, Slot, purpose
from sra.piv.objects import CERTIFICATES, CardContents, certificate_in

UNREADABLE = "its certificate can't be read, so it can't be compared with the keys that sign"
MAY_SIGN = (
    "its certificate does not say that it decrypts only (key usage without digitalSignature), "
    "so what it decrypts for a remote could be a proof for another one"
)

_UNUSABLE = (CardError, ValueError, TypeError, OverflowError, UnsupportedAlgorithm, x509.InvalidVersion)
"""What is raised for a container or a certificate that nobody can make sense of."""


@dataclass(frozen=True)
class _Key:
    """A public key, by what makes it the same one: the modulus of RSA, whatever the exponent is said to be."""

    identity: bytes
    numbers: rsa.RSAPublicNumbers | None


def withheld(contents: CardContents, slots: Collection[Slot], *, allow_raw_rsa: bool) -> Mapping[Slot, str]:
    """The decrypting keys among ``slots`` that no remote gets, and why.

    ``allow_raw_rsa``: the person lets remotes have any block signed; then a certificate that may sign is no reason.
    """
    signing = {key.slot: _public_key(contents, key.slot) for key in contents.keys if not _decrypts(key)}
    reasons = {
        key.slot: _reason(contents, key, signing, allow_raw_rsa=allow_raw_rsa)
        for key in contents.keys
        if key.slot in slots and _decrypts(key) and contents.objects.get(CERTIFICATES[key.slot])
    }
    return {slot: reason for slot, reason in reasons.items() if reason}


def signing_moduli(contents: CardContents) -> tuple[rsa.RSAPublicNumbers, ...]:
    """The RSA keys of the slots that sign, as far as their certificates can be read."""
    keys = [_public_key(contents, key.slot) for key in contents.keys if not _decrypts(key)]
    return tuple(key.numbers for key in keys if key is not None and key.numbers is not None)


def is_signature(output: bytes, block: bytes, signing: Collection[rsa.RSAPublicNumbers]) -> bool:
    """Whether a decrypted block is a signature of the block by a signing key: the slot has that key, unsaid."""
    signature, signed = int.from_bytes(output, "big"), int.from_bytes(block, "big")
    return any((pow(signature, key.e, key.n) - signed) % key.n == 0 for key in signing)


def _decrypts(key: KeyDescription) -> bool:
    return purpose(key.slot, key.algorithm) is not Operation.SIGN


def _reason(
    contents: CardContents, key: KeyDescription, signing: Mapping[Slot, _Key | None], *, allow_raw_rsa: bool
) -> str:
    """Why the key may not decrypt for a remote; nothing if it may."""
    own = _public_key(contents, key.slot)
    if own is None:
        return UNREADABLE
    same = [slot for slot, other in signing.items() if other is not None and other.identity == own.identity]
    if same:
        return f"it is the same key as {same[0]:02X}, and what it decrypts could be a proof of who you are"
    # With a curve, what is derived is a point and never a signature, whatever the certificate says.
    is_safe = allow_raw_rsa or not key.algorithm.is_rsa or only_decrypts(_certificate(contents, key.slot))
    return "" if is_safe else MAY_SIGN


def _certificate(contents: CardContents, slot: Slot) -> bytes:
    return certificate_in(contents.objects.get(CERTIFICATES[slot], b""))


def _public_key(contents: CardContents, slot: Slot) -> _Key | None:
    return _key_in(contents.objects.get(CERTIFICATES[slot], b""))


@lru_cache(maxsize=64)
def _key_in(container: bytes) -> _Key | None:
    """The key in a slot's certificate, of any kind and size; ``None`` where that can't be read."""
    try:
        key = x509.load_der_x509_certificate(certificate_in(container)).public_key()
        if isinstance(key, rsa.RSAPublicKey):
            numbers = key.public_numbers()
            return _Key(b"rsa %x" % numbers.n, numbers)
        return _Key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), None)
    except _UNUSABLE:
        return None
