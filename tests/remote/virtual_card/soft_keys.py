"""Real keys for the virtual card, in memory, with the raw operations of a card."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.x509.oid import NameOID

from sra.piv.keys import Algorithm, KeyReply, KeyRequest, Operation, PinOutcome, PinReply, PinRequest, Slot

PIN = b"123456"
CURVES: dict[Algorithm, ec.EllipticCurve] = {Algorithm.P256: ec.SECP256R1(), Algorithm.P384: ec.SECP384R1()}
DIGESTS: dict[int, hashes.HashAlgorithm] = {
    20: hashes.SHA1(),  # noqa: S303
    28: hashes.SHA224(),
    32: hashes.SHA256(),
    48: hashes.SHA384(),
}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def make_key(slot: Slot, algorithm: Algorithm) -> PrivateKey:
    """The key of a slot, the same one during the whole test run."""
    del slot
    if algorithm.is_rsa:
        return rsa.generate_private_key(public_exponent=65537, key_size=algorithm.size * 8)
    return ec.generate_private_key(CURVES[algorithm])


def make_certificate(slot: Slot, private: PrivateKey) -> bytes:
    """A self-signed certificate (DER)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Test {slot.name}")])
    now = datetime.now(UTC)
    is_signing = slot is not Slot.KEY_MANAGEMENT and not slot.is_retired
    usage = x509.KeyUsage(
        digital_signature=is_signing,
        content_commitment=slot is Slot.SIGNATURE,
        key_encipherment=not is_signing and isinstance(private, rsa.RSAPrivateKey),
        data_encipherment=False,
        key_agreement=not is_signing and not isinstance(private, rsa.RSAPrivateKey),
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
    builder = builder.add_extension(usage, critical=True)
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


class SoftKeys:
    """The keys of a card."""

    def __init__(self, keys: dict[Slot, PrivateKey]) -> None:
        self._keys = keys
        self.asked: list[KeyRequest] = []

    async def use_key(self, request: KeyRequest) -> KeyReply:
        self.asked.append(request)
        private = self._keys[request.slot]
        if isinstance(private, rsa.RSAPrivateKey):
            return KeyReply(output=raw_rsa(private, request.input))
        if request.operation is Operation.SIGN:
            return KeyReply(output=sign_digest(private, request.input))
        point = ec.EllipticCurvePublicKey.from_encoded_point(private.curve, request.input)
        return KeyReply(output=private.exchange(ec.ECDH(), point))


class SoftPinCheck:
    """A PIN that is checked in memory, and a person at the pad who always types it right."""

    def __init__(self) -> None:
        self.attempts = 3
        self.asked: list[PinRequest] = []

    async def check_pin(self, request: PinRequest) -> PinReply:
        self.asked.append(request)
        if self.attempts and request.typed in {None, PIN}:
            self.attempts = 3
            return PinReply(outcome=PinOutcome.VERIFIED, attempts_remaining=3)
        self.attempts = max(self.attempts - 1, 0)
        outcome = PinOutcome.WRONG if self.attempts else PinOutcome.BLOCKED
        return PinReply(outcome=outcome, attempts_remaining=self.attempts)


def raw_rsa(private: rsa.RSAPrivateKey, block: bytes) -> bytes:
    numbers = private.private_numbers()
    modulus = numbers.public_numbers.n
    return pow(int.from_bytes(block, "big"), numbers.d, modulus).to_bytes(len(block), "big")


def sign_digest(private: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    return private.sign(digest, ec.ECDSA(utils.Prehashed(DIGESTS[len(digest)])))
