"""Text that this product has written into somebody else's file, with a mark by which an edit is noticed. No I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_MARK = re.compile(r"\[(?P<digest>[0-9a-f]{16})\]")


def mark_of(lines: Iterable[str]) -> str:
    """What says, in the line above, that these lines are as they were written."""
    return f"[{_digest(lines)}]"


def is_untouched(marked: str, lines: Iterable[str]) -> bool:
    """Whether the lines are those for which the line above them was marked."""
    found = _MARK.search(marked)
    return found is not None and found["digest"] == _digest(lines)


def signed(head: str, text: str) -> str:
    """A whole file with a first line that is a comment and marks the rest; ``text`` ends with a newline."""
    return f"# {head} {mark_of(text.splitlines())}\n{text}"


def is_signed(head: str, content: str) -> bool:
    """Whether a file was written with this head, perhaps edited since."""
    return content.startswith(f"# {head} ")


def is_as_signed(head: str, content: str) -> bool:
    """Whether a file was written with this head, and not edited since."""
    first, _, text = content.partition("\n")
    return is_signed(head, content) and is_untouched(first, text.splitlines())


def is_edited(head: str, content: str) -> bool:
    """Whether a file was written with this head, and has been edited since."""
    return is_signed(head, content) and not is_as_signed(head, content)


def _digest(lines: Iterable[str]) -> str:
    # A stack may have bytes that are no UTF-8: it is read and written with surrogates in their place.
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]
