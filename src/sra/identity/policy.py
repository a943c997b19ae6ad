"""What a card's certificate needs beside its pairing: one setting, for ``srad``'s own check and for the login's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path


class Certificates(StrEnum):
    """How much of a certificate is checked; each includes the one before."""

    PAIRED_KEY = "paired-key"
    """Its key is paired, and today is within its dates."""
    CA = "ca"
    """A path leads from it to a trusted authority, and its uses and policies allow it."""
    CA_REVOCATION = "ca+revocation"
    """It is known not to be revoked, and neither is any authority between it and the trusted one."""


@dataclass(frozen=True)
class CertificatePolicy:
    """What ``[policy]`` in srad.toml says (docs/certificate-policy.md).

    ``policies``: dotted OIDs, one of which has to be valid on the whole path. ``extended_key_usages``: dotted OIDs, all
    of which the certificate has to have. ``max_age``: how long a fetched answer counts, however long it says it does.
    ``timeout``: seconds for one question to a server. ``allow_decrypting_keys``: a key that may also decrypt, as its
    certificate says, may authenticate.
    """

    certificates: Certificates = Certificates.PAIRED_KEY
    policies: frozenset[str] = frozenset()
    extended_key_usages: frozenset[str] = frozenset()
    ask_distribution_points: bool = True
    ask_ocsp: bool = True
    ocsp_nonce: bool = True
    max_age: timedelta = timedelta(days=7)
    timeout: float = 5.0
    allow_decrypting_keys: bool = False

    @property
    def needs_authority(self) -> bool:
        """Whether there has to be a path to a trusted authority."""
        return self.certificates is not Certificates.PAIRED_KEY

    @property
    def needs_revocation(self) -> bool:
        """Whether it has to be known that nothing on that path is revoked."""
        return self.certificates is Certificates.CA_REVOCATION


@dataclass(frozen=True)
class PolicyFinding:
    """One rule of the policy, and what came of it."""

    rule: str
    outcome: str


@dataclass(frozen=True)
class PolicySettings:
    """The same policy in the words of the programs that check a login.

    ``pam_pkcs11``: the value of ``cert_policy``. ``sssd``: the value of ``certificate_verification``; empty if SSSD is
    to get no rules at all. ``needs_revocation_lists``: whether ``crl_dir`` has to be filled.
    """

    pam_pkcs11: str
    sssd: str
    needs_revocation_lists: bool


_PAM_PKCS11 = {
    Certificates.PAIRED_KEY: "signature",
    Certificates.CA: "ca,signature",
    Certificates.CA_REVOCATION: "ca,crl_offline,signature",
}
"""``signature`` is in every one: without it, any card with a copy of the certificate would do."""


def settings(policy: CertificatePolicy, revocation_lists: Path) -> PolicySettings:
    """The policy for pam_pkcs11 and SSSD; ``revocation_lists`` is the PEM file with all lists, for SSSD.

    SSSD finds accounts by names. Where the paired key is enough, nobody vouches for a certificate's names, so SSSD gets
    no rules. Both use the lists that ``srad`` keeps, and ask no server: a file that is missing or stale refuses.
    """
    sssd = {
        Certificates.PAIRED_KEY: "",
        Certificates.CA: "no_ocsp",
        Certificates.CA_REVOCATION: f"no_ocsp,crl_file={revocation_lists}",
    }
    return PolicySettings(
        pam_pkcs11=_PAM_PKCS11[policy.certificates],
        sssd=sssd[policy.certificates],
        needs_revocation_lists=policy.needs_revocation,
    )
