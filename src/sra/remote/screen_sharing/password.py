"""The password of the screen's account: random, set as a hash, and gone after its first use."""

from __future__ import annotations

import asyncio
import ctypes
import secrets
import string
from collections.abc import Awaitable, Callable

from sra.errors import SraError

ALPHABET = string.ascii_letters + string.digits
LENGTH = 24
"""Characters: 142 bits."""
_SALT_LENGTH = 16
LOCKED = "!"
"""No password has this hash (shadow(5))."""
DEADLINE = 20.0
"""Seconds: chpasswd waits up to 15 for another program that is changing a password just now."""


class PasswordError(SraError):
    """The account's password can't be changed."""


def random_password() -> str:
    """A new one."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def hashed(password: str) -> str:
    """Its SHA-512-crypt hash (crypt(5)), by the library that PAM checks it with."""
    salt = "".join(secrets.choice(ALPHABET) for _ in range(_SALT_LENGTH))
    try:
        crypt = ctypes.CDLL("libcrypt.so.1").crypt
    except OSError as error:
        raise PasswordError(f"libcrypt is missing, which PAM needs too: {error}") from error
    crypt.argtypes, crypt.restype = [ctypes.c_char_p, ctypes.c_char_p], ctypes.c_char_p
    made = crypt(password.encode(), f"$6${salt}$".encode())
    if not made or not made.startswith(b"$6$"):
        raise PasswordError("This system's libcrypt has no SHA-512-crypt.")
    return str(made.decode())


async def set_hash(account: str, value: str) -> None:
    """Give the account this hash. It goes through a pipe, so no other process can see it."""
    process = await asyncio.create_subprocess_exec(
        "chpasswd", "--encrypted",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(DEADLINE):
            _, said = await process.communicate(f"{account}:{value}\n".encode())
    except BaseException as error:
        process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            raise PasswordError("chpasswd does not come to an end; the account's password is as it was.") from None
        raise
    if process.returncode != 0:
        raise PasswordError(f"chpasswd: {said.decode(errors='replace').strip()[:200]}")


SetHash = Callable[[str, str], Awaitable[None]]
"""``set_hash``, or a test's."""


class OnePassword:
    """The account's password: there is one at a time, and each is right once."""

    def __init__(self, account: str, setting: SetHash = set_hash) -> None:
        self._account = account
        self._setting = setting
        self._changing = asyncio.Lock()
        self.is_unused = False
        """Whether there is one that was not used yet."""

    async def issue(self) -> str:
        """A new one, which is right from now on."""
        password = random_password()
        self.is_unused = False
        await self._set(hashed(password))
        self.is_unused = True
        return password

    async def burn(self) -> bool:
        """Void it because it was used; whether this was its first use.

        Of two that come in the same moment one finds it unused: nothing is waited for between question and answer.
        """
        was_unused, self.is_unused = self.is_unused, False
        if was_unused:
            await self._set(LOCKED)
        return was_unused

    async def lock(self) -> None:
        """Void it, whether it was used or not."""
        self.is_unused = False
        await self._set(LOCKED)

    async def _set(self, value: str) -> None:
        """In a task of its own: a change that has begun comes to its end, and the next one after it."""
        await asyncio.shield(asyncio.create_task(self._change(value)))

    async def _change(self, value: str) -> None:
        async with self._changing:
            await self._setting(self._account, value)
