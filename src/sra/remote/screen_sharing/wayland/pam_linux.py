"""Whether PAM lets a user in by a password, asked of libpam (pam(3)): authentication, then the account."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

from sra.errors import SraError

_ASKS_SECRETLY = 1
"""PAM_PROMPT_ECHO_OFF: the one question there is an answer to."""
_FLAGS = 0x8000 | 0x1
"""PAM_SILENT, PAM_DISALLOW_NULL_AUTHTOK."""
_SUCCESS, _FAILED = 0, 19
"""PAM_SUCCESS, PAM_CONV_ERR."""
MAX_QUESTIONS = 32
"""PAM_MAX_NUM_MSG."""


class PamError(SraError):
    """PAM can't be asked."""


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Answer(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_Talk = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_void_p,
)


class _Conversation(ctypes.Structure):
    _fields_ = (("talk", _Talk), ("data", ctypes.c_void_p))


def lets_in(service: str, username: str, password: str) -> bool:
    """Whether it does, by the rules of that service. It may take seconds: PAM punishes a wrong password with them."""
    library, libc = _libraries()
    if "\0" in username + password:
        return False
    conversation = _Conversation(_Talk(_answering(password.encode(), libc)), None)
    handle = ctypes.c_void_p()
    if library.pam_start(service.encode(), username.encode(), ctypes.byref(conversation), ctypes.byref(handle)):
        raise PamError(f"PAM does not know the service {service}.")
    status = _FAILED
    try:
        status = library.pam_authenticate(handle, _FLAGS)
        if status == _SUCCESS:
            status = library.pam_acct_mgmt(handle, _FLAGS)
    finally:
        library.pam_end(handle, status)
    return bool(status == _SUCCESS)


def _answering(secret: bytes, libc: ctypes.CDLL) -> Callable[..., int]:
    """What answers PAM's questions. The memory of the answers is libc's, since PAM frees it."""

    def talk(count: int, messages: Any, answers: Any, _: object) -> int:
        if not 0 < count <= MAX_QUESTIONS:
            return _FAILED
        answers[0] = libc.calloc(count, ctypes.sizeof(_Answer))
        if not answers[0]:
            return _FAILED
        given = ctypes.cast(answers[0], ctypes.POINTER(_Answer))
        for number in range(count):
            if messages[number].contents.style == _ASKS_SECRETLY:
                given[number].text = libc.strdup(secret)
        return _SUCCESS

    return talk


@cache
def _libraries() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """PAM's library and libc, with the types of what is called in them."""
    libc = ctypes.CDLL(None)
    libc.calloc.argtypes, libc.calloc.restype = [ctypes.c_size_t, ctypes.c_size_t], ctypes.c_void_p
    libc.strdup.argtypes, libc.strdup.restype = [ctypes.c_char_p], ctypes.c_void_p
    try:
        library = ctypes.CDLL("libpam.so.0")
    except OSError as error:
        raise PamError(f"libpam is missing: {error}") from error
    pointer = ctypes.c_void_p
    library.pam_start.argtypes = [ctypes.c_char_p, ctypes.c_char_p, pointer, pointer]
    for function in (library.pam_authenticate, library.pam_acct_mgmt, library.pam_end):
        function.argtypes = [pointer, ctypes.c_int]
    return library, libc
