"""Which of the authorities that this machine trusts vouch for a card's certificate, so that its names can be believed.

This holds whatever the certificate policy is: where a paired key is enough, a name still is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.hashes import SHA256

from sra.identity.authorities import Authorities
from sra.identity.certificates import CardCertificate
from sra.identity.policy import CertificatePolicy
from sra.identity.usage import check_purpose, check_usage


@dataclass(frozen=True)
class Vouching:
    """``authorities`` gets those that this machine trusts now; ``now`` is the time at which they have to be valid."""

    authorities: Callable[[], Authorities]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __call__(self, card: CardCertificate) -> frozenset[str]:
        """The SHA-256 (small hex) of those on the path from the card's certificate to a trusted one, that one included.

        Raises ``RefusedError`` that says why there is no path, or why the certificate can't authenticate anybody.
        """
        check_purpose(card, CertificatePolicy())
        path = self.authorities().path(card, self.now()).certificates
        check_usage(path, CertificatePolicy())
        return frozenset(authority.fingerprint(SHA256()).hex() for authority in path[1:])
