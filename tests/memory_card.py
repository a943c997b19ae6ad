"""A card in memory with real keys and a real PIN: what the session and the guard need of a card."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sra.cards.piv_defaults import check_pin, pin_policy
from sra.cards.software import software_keys as softcard_keys
from sra.cards.software.software_keys import PrivateKey, UsableKey
from sra.errors import KeyMissingError, PinBlockedError, PinNeededError, PinWrongError, PukWrongError
from sra.piv.keys import Algorithm, KeyDescription, KeyReply, KeyRequest, Operation, PinPolicy, Slot, purpose
from sra.piv.objects import CERTIFICATES, CHUID, CardContents, build_certificate, build_chuid
from tests.chains import usage

PIN = b"123456"
PUK = b"PUKPUKPU"
TRIES = 3
DAY = timedelta(days=1)
P256_ONLY = {Slot.AUTHENTICATION: Algorithm.P256}


def private_key(algorithm: Algorithm, owner: str = "ann", slot: Slot = Slot.AUTHENTICATION) -> PrivateKey:
    """The owner's key of a slot: the same one during the whole test run."""
    return _private(algorithm, owner, slot)


@cache
def _private(algorithm: Algorithm, owner: str, slot: Slot) -> PrivateKey:
    del owner, slot
    return softcard_keys.generate(algorithm)


@cache
def _usable(algorithm: Algorithm, owner: str, slot: Slot) -> UsableKey:
    return softcard_keys.load(algorithm, softcard_keys.encode(private_key(algorithm, owner, slot)))


def sign(request: KeyRequest, owner: str = "ann") -> bytes:
    """What the owner's key of that slot gives, whatever a card would think of it."""
    return _usable(request.algorithm, owner, request.slot).use(request.operation, request.input)


def make_certificate(
    private: PrivateKey,
    owner: str = "ann",
    *,
    begins: timedelta = -DAY,
    ends: timedelta = DAY,
    key_usage: x509.KeyUsage | None = None,
) -> bytes:
    """A self-signed certificate (DER), valid from and until then, counted from now."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, owner)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now + begins).not_valid_after(now + ends)
    if key_usage is not None:
        builder = builder.add_extension(key_usage, critical=True)
    return builder.sign(private, hashes.SHA256()).public_bytes(Encoding.DER)


def usual_usage(slot: Slot, algorithm: Algorithm) -> x509.KeyUsage:
    """What certificates of a slot say that its key is for."""
    operation = purpose(slot, algorithm)
    said = {Operation.SIGN: "digital_signature", Operation.DECRYPT: "key_encipherment"}.get(operation, "key_agreement")
    return usage(said)


class MemoryCard:
    """A ``Card``; ``uses`` and ``verifications`` tell what reached it."""

    def __init__(
        self,
        algorithms: dict[Slot, Algorithm] | None = None,
        owner: str = "ann",
        *,
        begins: timedelta = -DAY,
        ends: timedelta = DAY,
    ) -> None:
        self.owner = owner
        self.name = f"memory:{owner}"
        self.pin = PIN
        self.tries = TRIES
        self.uses: list[KeyRequest] = []
        self.verifications: list[bytes] = []
        self._algorithms = P256_ONLY if algorithms is None else algorithms
        self._verified = self._verified_for_next = False
        self._removed = asyncio.Event()
        certificates = {
            CERTIFICATES[slot]: build_certificate(
                make_certificate(
                    private_key(algorithm, owner, slot),
                    owner,
                    begins=begins,
                    ends=ends,
                    key_usage=usual_usage(slot, algorithm),
                )
            )
            for slot, algorithm in self._algorithms.items()
        }
        keys = tuple(KeyDescription(slot, kind, pin_policy(slot)) for slot, kind in self._algorithms.items())
        self.contents = CardContents({CHUID: build_chuid(owner.encode().ljust(16, b"."))} | certificates, keys)

    async def attempts_remaining(self) -> int:
        return self.tries

    async def attempts_told(self) -> int | None:
        return await self.attempts_remaining()

    async def verify_pin(self, pin: bytes) -> None:
        check_pin(pin)
        self.verifications.append(pin)
        self.forget_pin()
        if self.tries == 0:
            raise PinBlockedError
        if pin != self.pin:
            self.tries -= 1
            raise PinWrongError(self.tries) if self.tries else PinBlockedError
        self.tries = TRIES
        self._verified = self._verified_for_next = True

    has_pin_pad = False

    async def verify_on_pad(self) -> None:
        raise KeyMissingError("There is no pad.")

    async def lock(self) -> None:
        self.forget_pin()

    async def change_pin(self, old: bytes, new: bytes) -> None:
        await self.verify_pin(old)
        self.pin = new

    async def unblock_pin(self, puk: bytes, new: bytes) -> None:
        if puk != PUK:
            raise PukWrongError(TRIES - 1)
        self.pin, self.tries = new, TRIES

    async def use_key(self, request: KeyRequest) -> KeyReply:
        self.uses.append(request)
        if self._algorithms.get(request.slot) is not request.algorithm:
            raise KeyMissingError("The card has no such key.")
        self._take_verified(request.slot)
        return KeyReply(sign(request, self.owner))

    def _take_verified(self, slot: Slot) -> None:
        policy = pin_policy(slot)
        allowed = {
            PinPolicy.NEVER: True,
            PinPolicy.ONCE: self._verified,
            PinPolicy.ALWAYS: self._verified_for_next,
        }[policy]
        if not allowed:
            raise PinNeededError("The card wants its PIN.")
        self._verified_for_next = False

    def forget_pin(self) -> None:
        """What a reset by another program does."""
        self._verified = self._verified_for_next = False

    def pull(self) -> None:
        self._removed.set()

    async def wait_removed(self) -> None:
        await self._removed.wait()

    async def close(self) -> None:
        self.forget_pin()
