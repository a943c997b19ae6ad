"""How long srad takes to decide about a proof: ``python -m benchmarks.decide``.

Everything between the Proof's arrival and the Welcome but the network: the signature, the policy ``ca+revocation`` with
lists of 100,000 revoked certificates at hand, and the account among 1,000 pairings.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from sra.config import DaemonConfig, PolicyConfig
from sra.identity import challenges
from sra.identity.certificates import CardCertificate, parse
from sra.paths import Paths
from sra.remote.accounts.pairing import PairingStore
from sra.remote.build import open_finder, open_policy

REVOKED = 100_000
PAIRINGS = 1000
RUNS = 1000
TARGET_MS = 5.0
"""At the 99th percentile."""

_DAY = timedelta(days=1)
_ACCOUNT = "root"


@dataclass(frozen=True)
class Outcome:
    """Milliseconds: half of the decisions took at most ``p50``, 99 of 100 at most ``p99``; and of the policy alone.

    ``load_ms`` and ``load_mib``: what reading the list took, once.
    """

    p50: float
    p99: float
    policy_p50: float
    policy_p99: float
    load_ms: float
    load_mib: float

    def __str__(self) -> str:
        """The rows of a table in Markdown."""
        verdict = "met" if self.p99 <= TARGET_MS else "not met"
        return "\n".join(
            (
                f"| srad decides ({REVOKED:,} revoked, {PAIRINGS:,} pairings) | p50 ms | p99 ms | target | verdict |",
                "|---|---:|---:|---|---|",
                f"| signature, policy, account | {self.p50:.2f} | {self.p99:.2f} | p99 ≤ {TARGET_MS:g} | {verdict} |",
                f"| the policy's part | {self.policy_p50:.2f} | {self.policy_p99:.2f} | | |",
                "",
                f"Reading and verifying the list: {self.load_ms:.0f} ms and {self.load_mib:.0f} MiB, once.",
            )
        )


@dataclass(frozen=True)
class _Proof:
    """What an admin would have sent."""

    card: CardCertificate
    statement: bytes
    signature: bytes


def measure(runs: int = RUNS, revoked: int = REVOKED) -> Outcome:
    """Decide so many times about one card, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(Path(folder))
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as another:  # its memory is not counted
            card, statement, signature = another.submit(_set_up, paths, revoked).result()
        time.sleep(0.2)  # until what was written counts as settled, as it would be on a remote
        proof = _Proof(parse(card), statement, signature)
        return asyncio.run(_measure(paths, proof, runs))


async def _measure(paths: Paths, proof: _Proof, runs: int) -> Outcome:
    config = DaemonConfig(policy=PolicyConfig("ca+revocation"))
    finder, policy = open_finder(paths, config.accounts), open_policy(paths, config.policy)

    async def check() -> None:
        await policy.check(proof.card, datetime.now(UTC))

    async def decide() -> None:
        if not challenges.is_proven(proof.card, proof.statement, proof.signature):
            raise RuntimeError("the signature should be right")
        proof.card.check_validity(datetime.now(UTC))
        await check()
        await finder.find_account(proof.card)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    await check()
    load_ms = 1000 * (time.perf_counter() - start)
    load_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    whole, part = await _timed(decide, runs), await _timed(check, runs)
    policy.close()
    return Outcome(whole[49], whole[98], part[49], part[98], load_ms, load_mib)


async def _timed(action: Callable[[], Awaitable[None]], runs: int) -> list[float]:
    """The 99 percentiles, in milliseconds."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        await action()
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.quantiles(taken, n=100)


def _set_up(paths: Paths, revoked: int) -> tuple[bytes, bytes, bytes]:
    """A remote that trusts a root, has its list and another's, and pairs one card among many; that card's proof."""
    paths.trust.mkdir(parents=True)
    root_key, sub_key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    card_key = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Root", "Root", root_key, root_key.public_key(), is_authority=True)
    sub = _certificate("Root", "Sub", root_key, sub_key.public_key(), is_authority=True)
    card = parse(_certificate("Sub", "Card", sub_key, card_key.public_key()).public_bytes(Encoding.DER))
    (paths.trust / "authorities.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in (root, sub)))
    (paths.trust / "root.crl").write_bytes(_revocation_list("Root", root_key, 10))
    (paths.trust / "sub.crl").write_bytes(_revocation_list("Sub", sub_key, revoked))
    _pair(paths, card)
    signed = challenges.statement(b"server", bytes(32), bytes(32), card.der)
    block = challenges.key_request(card.algorithm, signed).input
    return card.der, signed, card_key.sign(block, ec.ECDSA(utils.Prehashed(SHA256())))


def _pair(paths: Paths, card: CardCertificate) -> None:
    store = PairingStore(paths.pairings)
    store.pair_certificate(_ACCOUNT, card)
    others = (
        f'[[pairing]]\naccount = "user{number}"\nhash = "sha256:{number:064x}"\n' for number in range(PAIRINGS - 1)
    )
    with paths.pairings.open("a") as file:
        file.writelines(others)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _certificate(
    issuer: str, subject: str, signer: rsa.RSAPrivateKey, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    *, is_authority: bool = False,
) -> x509.Certificate:  # fmt: skip
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        _name(issuer), _name(subject), key, x509.random_serial_number(), now - _DAY, now + _DAY
    )
    if is_authority:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(signer, SHA256())


def _revocation_list(issuer: str, signer: CertificateIssuerPrivateKeyTypes, count: int) -> bytes:
    now = datetime.now(UTC)
    line = x509.RevokedCertificateBuilder().revocation_date(now - _DAY)
    entries = [line.serial_number((1 << 150) + number * 7919).build() for number in range(count)]
    builder = x509.CertificateRevocationListBuilder(_name(issuer), now - _DAY, now + _DAY, [], entries)
    return builder.sign(signer, SHA256()).public_bytes(Encoding.DER)


if __name__ == "__main__":
    print(measure())
