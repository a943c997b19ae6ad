"""What a remote says of itself, made fit to be shown: nothing in it may look like more, or like something else. No I/O.

A remote that has been broken into chooses these texts. PRECIS (RFC 8264, RFC 8265) refuses what no account's name may
have: blanks, invisible signs, signs that stand for others. It can't tell letters that only look alike (a Cyrillic
``а``), so whatever is not ASCII is shown by its code point: then no other name can look like ``alice``.
"""

from __future__ import annotations

import re

from precis_i18n import get_profile

from sra.errors import ProtocolError

_ACCOUNT = re.compile(r"[\w.@\\+$-]{1,64}")
"""DOMAIN\\user and user@domain are names too. It stands in questions, so it has no blank, quote, bracket or comma."""
_PROFILE = get_profile("UsernameCasePreserved")
_QUOTES = frozenset("\"'`")
"""What a remark stands in are quotation marks; none of those in ASCII may end it, and no other sign passes as it is."""


def shown_account(claimed: str) -> str:
    """The account's name in ASCII, as it is shown from now on; raise ``ProtocolError`` if it can't be one.

    An empty one is none: without a name, the remote's questions would look like our own.
    """
    try:
        is_name = bool(_ACCOUNT.fullmatch(claimed)) and _PROFILE.enforce(claimed) == claimed
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise ProtocolError("The remote named no account, or one that could be taken for a part of a question.")
    return _escaped(claimed)


def shown_remark(text: str) -> str:
    """A remark in ASCII, without quotation marks."""
    return "".join(_code_point(sign) if sign in _QUOTES else sign for sign in _escaped(text))


def _escaped(text: str) -> str:
    """The text with each sign that is not printable ASCII as its code point."""
    return "".join(sign if " " <= sign <= "~" else _code_point(sign) for sign in text)


def _code_point(sign: str) -> str:
    number = ord(sign)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
