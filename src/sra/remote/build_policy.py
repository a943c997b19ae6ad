"""The certificate policy, put together from a remote's settings for ``srad`` and ``sra whois``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sra.config import PolicyConfig
from sra.errors import RefusedError
from sra.identity.certificates import CardCertificate
from sra.identity.policy import CertificatePolicy, Certificates, PolicyFinding
from sra.paths import Paths
from sra.remote.revocation.cache import Cache
from sra.remote.revocation.checker import PolicyChecker
from sra.remote.revocation.evidence_store import EvidenceStore
from sra.remote.revocation.trust_folder import TrustFolder


def policy_of(config: PolicyConfig) -> CertificatePolicy:
    """What is set, as a value."""
    return CertificatePolicy(
        certificates=Certificates(config.certificates),
        policies=frozenset(config.policies),
        extended_key_usages=frozenset(config.extended_key_usages),
        ask_distribution_points=config.ask_distribution_points,
        ask_ocsp=config.ask_ocsp,
        ocsp_nonce=config.ocsp_nonce,
        max_age=timedelta(hours=config.max_age_hours),
        timeout=float(config.timeout_seconds),
        allow_decrypting_keys=config.allow_decrypting_keys,
    )


def open_trust(paths: Paths, config: PolicyConfig) -> TrustFolder:
    """The authorities and the lists of these settings."""
    return TrustFolder(paths.trust, Path(config.lists) if config.lists else paths.trust)


def open_policy(paths: Paths, config: PolicyConfig) -> PolicyChecker:
    """What checks certificates by these settings."""
    policy = policy_of(config)
    evidence = EvidenceStore(Cache(paths.revocation), policy.max_age, policy.timeout)
    return PolicyChecker(policy, open_trust(paths, config), evidence)


def checking(
    paths: Paths, config: PolicyConfig, now: Callable[[], datetime]
) -> Callable[[CardCertificate], Awaitable[None]]:
    """``Admission.check_certificate`` by these settings; its evidence is kept fresh while the event loop runs.

    ``now`` is never earlier than a time that has passed: a clock that is set back revives no authority and no list.
    """
    checker = open_policy(paths, config)
    checker.start(now)

    async def check(card: CardCertificate) -> None:
        await checker.check(card, now())

    return check


def verdict(
    paths: Paths, config: PolicyConfig, card: CardCertificate
) -> tuple[list[PolicyFinding], RefusedError | None]:
    """What ``srad`` would say of the certificate, rule by rule, and its refusal if it does."""
    checker = open_policy(paths, config)
    try:
        return asyncio.run(checker.explain(card, _now()))
    finally:
        checker.close()


def _now() -> datetime:
    return datetime.now(UTC)
