"""The folders of a remote with a policy, and its checker, started anew for each decision."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sra.errors import RefusedError
from sra.identity.policy import CertificatePolicy, Certificates
from sra.remote.revocation.cache import Cache
from sra.remote.revocation.checker import PolicyChecker
from sra.remote.revocation.evidence_store import EvidenceStore
from sra.remote.revocation.trust_folder import TrustFolder
from tests.chains import NOW, Authority, card, root

ROOT = root()
SUB = ROOT.authority("Sub")
REVOKING = CertificatePolicy(Certificates.CA_REVOCATION, timeout=2.0)


@dataclass
class Remote:
    """The folders of one remote; every ``check`` is a daemon that has just started."""

    folder: Path
    policy: CertificatePolicy = REVOKING
    checker: PolicyChecker = field(init=False)

    def __post_init__(self) -> None:
        self.trust = self.folder / "trust"
        self.trust.mkdir()
        self.trusting(ROOT, SUB)
        self.restart()

    def restart(self) -> None:
        self.evidence = EvidenceStore(Cache(self.folder / "kept"), self.policy.max_age, self.policy.timeout)
        self.checker = PolicyChecker(self.policy, TrustFolder(self.trust, self.trust), self.evidence)

    def trusting(self, *authorities: Authority) -> None:
        pem = b"".join(each.certificate.public_bytes(Encoding.PEM) for each in authorities)
        (self.trust / "authorities.pem").write_bytes(pem)

    def file(self, name: str, data: bytes) -> None:
        (self.trust / f"{name}.crl").write_bytes(data)

    def check(self, certificate: x509.Certificate, now: datetime = NOW) -> None:
        asyncio.run(self.checker.check(card(certificate), now))
        self.evidence._threads.shutdown(wait=True)
        self.restart()

    def refusal(self, certificate: x509.Certificate, now: datetime = NOW) -> RefusedError:
        with pytest.raises(RefusedError) as caught:
            asyncio.run(self.checker.check(card(certificate), now))
        self.evidence._threads.shutdown(wait=True)
        self.restart()
        return caught.value

    def explain(self, certificate: x509.Certificate) -> list[tuple[str, str]]:
        findings, _ = asyncio.run(self.checker.explain(card(certificate), NOW))
        self.evidence._threads.shutdown(wait=True)
        self.restart()
        return [(finding.rule, finding.outcome) for finding in findings]
