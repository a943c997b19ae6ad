"""A PKCS#11 client for steady signatures: one module, one session, many signatures (PKCS #11 v2.40).

Nothing between the clock and the module but ctypes: no library's own caching, no process start.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from enum import IntEnum

from benchmarks.keys import KeyKind

USER = 1
SERIAL_SESSION = 4
TOKEN_INITIALISED = 0x400
PROTECTED_PATH = 0x100
TOKEN_FLAGS_OFFSET = 96
"""Where ``flags`` is in CK_TOKEN_INFO: after four fixed-length strings."""

CLASS_ATTRIBUTE, ID_ATTRIBUTE, PRIVATE_KEY_CLASS = 0x0, 0x102, 3
MECHANISMS = {KeyKind.RSA_2048: 0x40, KeyKind.P256: 0x1041}
"""CKM_SHA256_RSA_PKCS and CKM_ECDSA (of a digest)."""

MESSAGE = bytes(32)


class Function(IntEnum):
    """Places in CK_FUNCTION_LIST, in the order of the standard's header."""

    INITIALIZE = 0
    FINALIZE = 1
    GET_SLOT_LIST = 4
    GET_TOKEN_INFO = 6
    OPEN_SESSION = 12
    LOGIN = 18
    FIND_OBJECTS_INIT = 26
    FIND_OBJECTS = 27
    FIND_OBJECTS_FINAL = 28
    SIGN_INIT = 42
    SIGN = 43


class Attribute(ctypes.Structure):
    """CK_ATTRIBUTE."""

    _fields_ = (
        ("type", ctypes.c_ulong),
        ("value", ctypes.c_void_p),
        ("length", ctypes.c_ulong),
    )


class Mechanism(ctypes.Structure):
    """CK_MECHANISM."""

    _fields_ = (
        ("type", ctypes.c_ulong),
        ("parameter", ctypes.c_void_p),
        ("length", ctypes.c_ulong),
    )


class Module:
    """A loaded PKCS#11 module."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)
        table = ctypes.c_void_p()
        if library.C_GetFunctionList(ctypes.byref(table)) != 0 or table.value is None:
            raise RuntimeError(f"{path} gives no function list")
        # The list begins with a two-byte version, padded to the size of a pointer.
        self._functions = ctypes.cast(table.value + ctypes.sizeof(ctypes.c_void_p), ctypes.POINTER(ctypes.c_void_p))
        self.call(Function.INITIALIZE, None)

    def call(self, function: Function, *arguments: object) -> None:
        """Call a function; raise if it answers anything but CKR_OK."""
        pointer = self._functions[function]
        prototype = ctypes.CFUNCTYPE(ctypes.c_ulong, *(_type_of(argument) for argument in arguments))
        outcome = prototype(pointer or 0)(*arguments)
        if outcome != 0:
            raise RuntimeError(f"{function.name} answered {outcome:#x}")

    def close(self) -> None:
        """C_Finalize."""
        self.call(Function.FINALIZE, None)


def _type_of(argument: object) -> type:
    return ctypes.c_ulong if isinstance(argument, int) else ctypes.c_void_p


class Session:
    """A logged-in session with the first initialised slot of a module."""

    def __init__(self, module: Module, pin: str) -> None:
        self._module = module
        slot, flags = self._find_slot()
        self._handle = ctypes.c_ulong()
        self._module.call(Function.OPEN_SESSION, slot, SERIAL_SESSION, None, None, ctypes.byref(self._handle))
        if flags & PROTECTED_PATH:
            self._module.call(Function.LOGIN, self._handle.value, USER, None, 0)
        else:
            self._module.call(Function.LOGIN, self._handle.value, USER, pin.encode(), len(pin))

    def find_key(self, identifier: bytes) -> int:
        """The private key with this CKA_ID."""
        key_class = ctypes.c_ulong(PRIVATE_KEY_CLASS)
        wanted = ctypes.create_string_buffer(identifier, len(identifier))
        template = (Attribute * 2)(
            Attribute(CLASS_ATTRIBUTE, ctypes.addressof(key_class), ctypes.sizeof(key_class)),
            Attribute(ID_ATTRIBUTE, ctypes.addressof(wanted), len(identifier)),
        )
        found, count = ctypes.c_ulong(), ctypes.c_ulong()
        self._module.call(Function.FIND_OBJECTS_INIT, self._handle.value, template, 2)
        self._module.call(Function.FIND_OBJECTS, self._handle.value, ctypes.byref(found), 1, ctypes.byref(count))
        self._module.call(Function.FIND_OBJECTS_FINAL, self._handle.value)
        if count.value != 1:
            raise RuntimeError("the key is not there")
        return found.value

    def sign(self, key: int, kind: KeyKind) -> bytes:
        """A signature of ``MESSAGE``."""
        mechanism = Mechanism(MECHANISMS[kind], None, 0)
        signature = ctypes.create_string_buffer(512)
        length = ctypes.c_ulong(512)
        self._module.call(Function.SIGN_INIT, self._handle.value, ctypes.byref(mechanism), key)
        self._module.call(Function.SIGN, self._handle.value, MESSAGE, len(MESSAGE), signature, ctypes.byref(length))
        return signature.raw[: length.value]

    def _find_slot(self) -> tuple[int, int]:
        slots, count = (ctypes.c_ulong * 16)(), ctypes.c_ulong(16)
        self._module.call(Function.GET_SLOT_LIST, 1, slots, ctypes.byref(count))
        for slot in slots[: count.value]:
            info = ctypes.create_string_buffer(256)
            self._module.call(Function.GET_TOKEN_INFO, slot, info)
            flags = ctypes.c_ulong.from_buffer(info, TOKEN_FLAGS_OFFSET).value
            if flags & TOKEN_INITIALISED:
                return slot, flags
        raise RuntimeError("there is no card in any slot")


def main() -> None:
    """Log in, say "ready", and for each line on stdin make so many signatures; answer with each one's seconds."""
    path, pin, kind, key_id = sys.argv[1:]
    module = Module(path)
    session = Session(module, pin)
    key = session.find_key(bytes.fromhex(key_id))
    session.sign(key, KeyKind(kind))
    print("ready", flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.monotonic()
            session.sign(key, KeyKind(kind))
            seconds.append(time.monotonic() - start)
        print(json.dumps(seconds), flush=True)
    module.close()


if __name__ == "__main__":
    main()
