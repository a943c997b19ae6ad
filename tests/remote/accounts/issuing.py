"""An authority for tests that issues cards with whatever names it is asked for, sound or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from sra.identity.certificates import CardCertificate, parse
from sra.piv import tlv
from sra.remote.accounts.certificate_fields import PRINCIPAL_NAME
from tests.chains import usage

UTF8_STRING = 0x0C
ALTERNATIVE_NAMES = ObjectIdentifier("2.5.29.17")
Attributes = Sequence[tuple[ObjectIdentifier, str]]


def principal(name: str) -> x509.OtherName:
    return x509.OtherName(PRINCIPAL_NAME, tlv.encode(UTF8_STRING, name.encode()))


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def sha256(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def card(self) -> CardCertificate:
        return parse(self.certificate.public_bytes(serialization.Encoding.DER))

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """The certificate and the key as files."""
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key.private_bytes(serialization.Encoding.PEM, *form))
        return certificate, key


class Authority:
    def __init__(self, name: str = "Authority of the tests") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.own = self._issue(self.name, self.key, [(x509.BasicConstraints(ca=True, path_length=None), True)])

    def issue(
        self,
        subject: Attributes = ((NameOID.COMMON_NAME, "Alice"),),
        names: Sequence[x509.GeneralName] = (),
        *,
        raw_names: bytes | None = None,
        more: Sequence[x509.ExtensionType] = (),
        says_use: bool = True,
    ) -> Issued:
        """A card's certificate; ``raw_names`` takes the place of its alternative names, as the bytes that it is.

        Its key signs unless ``more`` has another key usage, or ``says_use`` is false.
        """
        told = not says_use or any(isinstance(extension, x509.KeyUsage) for extension in more)
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            *([] if told else [(usage("digital_signature"), True)]),
            *((extension, False) for extension in more),
        ]
        if names:
            extensions.append((x509.SubjectAlternativeName(list(names)), False))
        if raw_names is not None:
            extensions.append((x509.UnrecognizedExtension(ALTERNATIVE_NAMES, raw_names), False))
        name = x509.Name([x509.NameAttribute(oid, value, _validate=False) for oid, value in subject])
        return self._issue(name, ec.generate_private_key(ec.SECP256R1()), extensions)

    def _issue(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extensions: Sequence[tuple[x509.ExtensionType, bool]],
    ) -> Issued:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )
        for extension, is_critical in extensions:
            builder = builder.add_extension(extension, critical=is_critical)
        return Issued(builder.sign(self.key, hashes.SHA256()), key)
