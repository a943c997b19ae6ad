"""A PKCS#11 module, loaded once in a process and used by one thread, whatever many cards there are behind it.

The library starts it without asking it to do locks, so no second thread may call it (PKCS#11 v2.40, section 5.4).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pkcs11

from sra.cards.card_thread import CardThread
from sra.cards.pkcs11.pkcs11_errors import understood
from sra.errors import CardError

if TYPE_CHECKING:
    from pkcs11 import _pkcs11

T = TypeVar("T")


class Module:
    """A module; ``module_at`` makes them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = CardThread(f"PKCS#11 module {path.name}")

    async def run(self, job: Callable[[], T]) -> T:
        """What ``job`` returns, done in the module's thread; raise ``CardError``, or ``UsageError`` for a PIN."""

        def work() -> T:
            with understood():
                return job()

        return await self._thread.run(work)

    def slots(self) -> list[pkcs11.Slot]:
        """In the module's thread: where there are cards now; raise ``CardError`` if it can't be loaded."""
        return self._load().get_slots(token_present=True)

    def _load(self) -> _pkcs11.lib:
        if not self.path.is_file():
            raise CardError(f"There is no PKCS#11 module {self.path}; give the path of its file.")
        try:
            return pkcs11.lib(str(self.path))
        except pkcs11.PKCS11Error as error:
            raise CardError(f"{self.path} can't be used as a PKCS#11 module: {error}") from error


@cache
def module_at(path: Path) -> Module:
    """The module in that file, the same one each time."""
    return Module(path)
