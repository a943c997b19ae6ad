"""What the standard says of a card's keys and PINs, where the card itself does not say."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sra.errors import CardError, PinUnfitError, UsageError
from sra.piv.keys import MAX_PIN, Algorithm, PinPolicy, Slot

_RSA = {8 * algorithm.size: algorithm for algorithm in Algorithm if algorithm.is_rsa}
_CURVES = {"secp256r1": Algorithm.P256, "secp384r1": Algorithm.P384}


def algorithm_of(certificate: bytes) -> Algorithm | None:
    """The PIV algorithm of the key in a DER certificate, ``None`` for any other; raise ``CardError`` if damaged."""
    try:
        public = x509.load_der_x509_certificate(certificate).public_key()
    except UnsupportedAlgorithm:
        return None
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise CardError("A certificate of the card is damaged.") from error
    if isinstance(public, rsa.RSAPublicKey):
        return _RSA.get(public.key_size)
    return _CURVES.get(public.curve.name) if isinstance(public, ec.EllipticCurvePublicKey) else None


MIN_PIN = 6
"""Bytes of a PIN (SP 800-73-4 part 2, section 2.4.3)."""

_POLICIES = {Slot.SIGNATURE: PinPolicy.ALWAYS, Slot.CARD_AUTHENTICATION: PinPolicy.NEVER}


def pin_policy(slot: Slot) -> PinPolicy:
    """The security condition of the slot's key (SP 800-73-4 part 1, table 4b)."""
    return _POLICIES.get(slot, PinPolicy.ONCE)


def check_pin(pin: bytes) -> None:
    """Raise ``PinUnfitError`` for what is no PIN of any PIV card, or only a part of one, before it costs a try."""
    if not MIN_PIN <= len(pin) <= MAX_PIN:
        raise PinUnfitError(f"A PIN has {MIN_PIN} to {MAX_PIN} characters.")


def check_puk(puk: bytes) -> None:
    """Raise ``PinUnfitError`` for what is no PUK of any PIV card, before it costs a try."""
    if not 1 <= len(puk) <= MAX_PIN:
        raise PinUnfitError(f"A PUK has 1 to {MAX_PIN} characters.")


def check_new_pin(pin: bytes) -> None:
    """Raise ``UsageError`` unless ``pin`` may become a PIN: 6 to 8 printable ASCII characters."""
    if not MIN_PIN <= len(pin) <= MAX_PIN or not all(0x21 <= byte < 0x7F for byte in pin):
        raise UsageError("A PIN has 6 to 8 digits, or other characters without accents or spaces.")
