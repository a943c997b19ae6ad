"""Distinguished names, compared as RFC 5280, 7.1, wants it: case, white space and the type of a string don't matter."""

from __future__ import annotations

import functools

from cryptography import x509


@functools.lru_cache(maxsize=4096)
def comparable(name: x509.Name) -> str:
    """A value that two names have in common exactly when they are the same name (RFC 4518).

    A name with a value that isn't text, and can't be compared as such, is the same only byte by byte.
    """
    from asn1crypto import x509 as asn1  # noqa: PLC0415 - 60 ms, that a command without certificates need not wait for

    der = name.public_bytes()
    try:
        return str(asn1.Name.load(der).hashable)
    except (ValueError, TypeError, KeyError, AttributeError):
        return f"der:{der.hex()}"


def is_same(one: x509.Name, other: x509.Name) -> bool:
    """Whether these are the same name."""
    return one == other or comparable(one) == comparable(other)
