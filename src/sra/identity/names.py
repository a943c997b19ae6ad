"""Distinguished names, compared as RFC 5280, 7.1, wants it: case, white space and the type of a string don't matter."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from cryptography import x509

if TYPE_CHECKING:
    from asn1crypto import x509 as asn1


MAX_NAME = 1024
"""Bytes of a name that is compared as text: the longest in the field have some 300. 16 KiB, which a stranger's
certificate could have, take 0.3 s."""

_LOST = re.compile("[\ufe10-\ufefe]")
"""Letters, Arabic ones among them, that the library maps to nothing together with variation selectors (RFC 4518, 2.2
has only FE00 to FE0F)."""


@functools.lru_cache(maxsize=4096)
def comparable(name: x509.Name) -> str:
    """A value that two names have in common exactly when they are the same name (RFC 4518).

    A name with a value that isn't text or can't be compared as such, or that is very long, is the same only byte by
    byte. The values are prepared by the library and put together here: its own value for a whole name keeps one value
    only of a part that has several of a type.
    """
    from asn1crypto import x509 as asn1  # noqa: PLC0415 - 60 ms, that a command without certificates need not wait for

    der = name.public_bytes()
    try:
        if len(der) <= MAX_NAME:
            return "\x1e".join("\x1f".join(sorted(map(_prepared, part))) for part in asn1.Name.load(der).chosen)
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    return f"der:{der.hex()}"


def _prepared(pair: asn1.NameTypeAndValue) -> str:
    """Type and value, without the separators: preparing a value removes control characters."""
    if _LOST.search(pair["value"].native):
        raise ValueError("the library would drop letters")
    return f"{pair['type'].native}: {pair.prepped_value}"


def is_same(one: x509.Name, other: x509.Name) -> bool:
    """Whether these are the same name."""
    return one == other or comparable(one) == comparable(other)
