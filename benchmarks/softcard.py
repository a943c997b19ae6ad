"""The software card behind the relay and behind ours: one key in slot 9A, issued by an authority of the benchmark."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from benchmarks.keys import PIN, Credential, KeyKind, make_authority
from sra.cards.software import maker
from sra.cards.software.backend import SoftwareBackend, SoftwareCard
from sra.cards.software.file import CardFolder
from sra.piv.keys import Algorithm, KeyRequest, Operation, Slot

NAME = "bench"
ALGORITHMS = {KeyKind.RSA_2048: Algorithm.RSA_2048, KeyKind.P256: Algorithm.P256}
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""SHA-256's DigestInfo (RFC 8017 section 9.2)."""

SIGNATURES = 50
"""How many signatures the card's own time is the median of."""


@dataclass(frozen=True)
class SoftCard:
    """A software card in a folder, and what its certificate is."""

    folder: Path
    credential: Credential


def make(folder: Path, kind: KeyKind) -> SoftCard:
    """Make the card ``NAME`` in a folder."""
    authority = make_authority()
    now = dt.datetime.now(dt.UTC)
    order = maker.CardOrder(
        algorithms={Slot.AUTHENTICATION: ALGORITHMS[kind]},
        holder=maker.CardHolder(maker.parse_subject("Benchmark Card")),
        issuer=maker.Issuer(authority.certificate, authority.key),
        valid=maker.validity(now, 1),
    )
    file = maker.make(order, PIN.encode(), maker.new_puk())
    CardFolder(folder).create(NAME, file)
    certificate = x509.load_der_x509_certificate(file.keys[0].certificate)
    return SoftCard(folder, Credential(certificate, authority.certificate))


async def open_verified(folder: Path) -> SoftwareCard:
    """The card, with its PIN verified."""
    card = await SoftwareBackend(folder).open(f"software:{NAME}")
    await card.verify_pin(PIN.encode())
    return card


def own_time_ms(card: SoftCard, kind: KeyKind) -> float:
    """Milliseconds that the card itself takes for a signature: C."""
    return asyncio.run(_own_time_ms(card, kind))


async def _own_time_ms(made: SoftCard, kind: KeyKind) -> float:
    card = await open_verified(made.folder)
    request = KeyRequest(Slot.AUTHENTICATION, ALGORITHMS[kind], Operation.SIGN, signing_input(kind))
    milliseconds = []
    for _ in range(SIGNATURES):
        start = time.perf_counter()
        await card.use_key(request)
        milliseconds.append(1000 * (time.perf_counter() - start))
    return statistics.median(milliseconds)


def signing_input(kind: KeyKind) -> bytes:
    """What a card is given to sign: a digest, padded for RSA (PKCS #1 v1.5)."""
    digest = hashlib.sha256(b"benchmark").digest()
    if kind is KeyKind.P256:
        return digest
    padding = 256 - 3 - len(DIGEST_INFO) - len(digest)
    return b"\x00\x01" + b"\xff" * padding + b"\x00" + DIGEST_INFO + digest
