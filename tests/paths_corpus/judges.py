"""Who says of a case whether the card comes in: srad, ``openssl verify``, and the path library by itself."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import datetime
from pathlib import Path

from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko_certvalidator import CertificateValidator
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import PathBuildingError, ValidationError
from pyhanko_certvalidator.policy_decl import PKIXValidationParams

from sra.errors import RefusedError
from sra.identity import ocsp
from sra.identity.authorities import sort_authorities
from sra.identity.policy import CertificatePolicy, Certificates
from sra.identity.revocation import EvidenceError
from sra.identity.status import StatusAnswer
from sra.remote.revocation.cache import Cache
from sra.remote.revocation.checker import PolicyChecker
from sra.remote.revocation.evidence_store import EvidenceStore
from sra.remote.revocation.sources import ResponderSource, Source
from sra.remote.revocation.trust_folder import TrustFolder
from tests.chains import card
from tests.paths_corpus.building import NOW, Case


class Answering(EvidenceStore):
    """An evidence store on which the case's OCSP answers are at hand."""

    def __init__(self, folder: Path, answers: tuple[bytes, ...]) -> None:
        policy = CertificatePolicy()
        super().__init__(Cache(folder / "kept"), policy.max_age, policy.timeout)
        self._answers = answers

    async def at_hand(self, source: Source, now: datetime) -> StatusAnswer | None:
        try:
            return await self.ask(source, now)
        except EvidenceError:
            return None

    async def ask(self, source: Source, now: datetime) -> StatusAnswer:
        if not isinstance(source, ResponderSource) or not self._answers:
            raise EvidenceError("nobody is asked here")
        return ocsp.verify(self._answers[0], source.issued, NOW, None, needs_nonce=False)


def write(case: Case, folder: Path) -> Path:
    """The case's folder of trust."""
    trust = folder / "trust"
    trust.mkdir(parents=True)
    (trust / "authorities.pem").write_bytes(pem(*case.trust))
    for number, data in enumerate(case.lists):
        (trust / f"{number}.crl").write_bytes(data)
    return trust


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def ours(case: Case, folder: Path) -> str:
    """What srad says: nothing if the card comes in, or else why it does not."""
    trust = write(case, folder)
    rules = Certificates.CA_REVOCATION if case.checks_revocation else Certificates.CA
    checker = PolicyChecker(
        CertificatePolicy(rules, case.policies), TrustFolder(trust, trust), Answering(folder, case.answers)
    )
    try:
        asyncio.run(checker.check(card(case.card), NOW))
    except RefusedError as refusal:
        return refusal.text
    return ""


def openssl(case: Case, folder: Path) -> bool | None:
    """What ``openssl verify`` says; it knows no OCSP."""
    if case.answers:
        return None
    folder.mkdir()
    found, _ = sort_authorities(case.trust)
    lists = b"".join(x509.load_der_x509_crl(each).public_bytes(Encoding.PEM) for each in case.lists)
    others = [each for each in case.trust if each not in found.anchors]
    for name, data in (
        ("anchors", pem(*found.anchors)),
        ("others", pem(*others)),
        ("lists", lists),
        ("card", pem(case.card)),
    ):
        (folder / name).write_bytes(data)
    command = [
        "openssl",
        "verify",
        "-attime",
        str(int(NOW.timestamp())),
        "-no-CApath",
        "-no-CAstore",
        "-auth_level",
        "1",
    ]
    command += ["-CAfile", "anchors"] if found.anchors else ["-no-CAfile"]
    command += ["-untrusted", "others"] if others else []
    if case.checks_revocation:
        command += ["-crl_check_all", "-extended_crl", "-use_deltas", *(["-CRLfile", "lists"] if lists else [])]
    command += ["-policy_check", "-explicit_policy"] if case.policies else ["-policy_check"]
    command += [option for each in case.policies or ["2.5.29.32.0"] for option in ("-policy", each)]
    return subprocess.run([*command, "card"], cwd=folder, capture_output=True, check=False).returncode == 0


def library(case: Case) -> bool | None:
    """What the library says when it does all by itself, revocation included."""
    found, _ = sort_authorities(case.trust)
    context = ValidationContext(
        trust_roots=[parsed(each) for each in found.anchors],
        other_certs=[parsed(each) for each in case.trust if each not in found.anchors],
        moment=NOW,
        crls=list(case.lists),
        ocsps=list(case.answers),
        revocation_mode="require" if case.checks_revocation else "soft-fail",
    )
    parameters = PKIXValidationParams(case.policies, initial_explicit_policy=True) if case.policies else None
    validator = CertificateValidator(parsed(case.card), validation_context=context, pkix_params=parameters)
    try:
        asyncio.run(validator.async_validate_usage(set()))  # type: ignore[no-untyped-call]
    except (ValidationError, PathBuildingError):
        return False
    except (NotImplementedError, ValueError, TypeError, AttributeError, AssertionError, LookupError):
        return None
    return True


def parsed(certificate: x509.Certificate) -> asn1.Certificate:
    return asn1.Certificate.load(certificate.public_bytes(Encoding.DER))
