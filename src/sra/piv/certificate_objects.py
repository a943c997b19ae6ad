"""Certificate containers (SP 800-73-4 part 1, section 3 and appendix A, table 10). No I/O."""

from __future__ import annotations

import zlib

from sra.errors import CardError
from sra.piv import tlv

MAX_CERTIFICATE = 16_384
"""Bytes of a certificate after decompression: twice what an object can hold as it is. A small object that unpacks to
gigabytes stops here."""

_CERTIFICATE = 0x70
_CERT_INFO = 0x71
_ERROR_DETECTION = 0xFE

_COMPRESSED = 0x81
"""CertInfo's compression bit: 01, or 80 on cards made when the standard could be read as counting from the left."""

_UNCOMPRESSED_INFO = b"\x00"
_COMPRESSED_INFO = b"\x01"
_GZIP = 16 + zlib.MAX_WBITS
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


def certificate_in(container: bytes) -> bytes:
    """The DER certificate in a certificate object, decompressed if need be; raise ``CardError`` if there is none."""
    found = tlv.fields(container)
    stored = found.get(_CERTIFICATE, b"")
    if not stored:
        raise CardError("The card holds no certificate in this slot.")
    info = found.get(_CERT_INFO, _UNCOMPRESSED_INFO)
    return _decompress(stored) if info and info[0] & _COMPRESSED else stored


def build_certificate(certificate: bytes) -> bytes:
    """A certificate object that holds the DER ``certificate`` as it is."""
    return _container(certificate, _UNCOMPRESSED_INFO)


def build_compressed_certificate(certificate: bytes) -> bytes:
    """A certificate object that holds the DER ``certificate`` compressed with gzip."""
    packer = zlib.compressobj(wbits=_GZIP)
    return _container(packer.compress(certificate) + packer.flush(), _COMPRESSED_INFO)


def _container(stored: bytes, info: bytes) -> bytes:
    return tlv.encode(_CERTIFICATE, stored) + tlv.encode(_CERT_INFO, info) + tlv.encode(_ERROR_DETECTION)


def _decompress(stored: bytes) -> bytes:
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        certificate = unpacker.decompress(stored, MAX_CERTIFICATE)
    except zlib.error as error:
        raise CardError("The card's compressed certificate is damaged.") from error
    if not unpacker.eof:
        raise CardError(f"The card's compressed certificate is cut short, or longer than {MAX_CERTIFICATE} bytes.")
    return certificate
