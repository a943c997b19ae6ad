"""What is fuzzed: a function that gets bytes and raises if the parser behind it broke a promise.

Nothing of the product is imported here, because atheris instruments modules while they are imported.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

SECONDS = 0.3
"""Processor time for one input at most. An instrumented parser is about five times slower than the product's."""
TRIES = 3
"""Runs of a slow input before it counts: the first one may have paid for an import or the garbage collector."""
MAX_MEMORY = 4 * 1024**3
"""Bytes of address space of a fuzzing process, so that an input that asks for gigabytes gets a MemoryError."""


class BrokenPromiseError(Exception):
    """A parser did something that its docstring excludes."""


@dataclass(frozen=True)
class Target:
    """A parser under test: ``run`` raises for a finding; inputs are at most ``max_len`` bytes.

    ``words`` are what its language is made of; without them a fuzzer would have to guess each keyword.
    """

    name: str
    module: str
    run: Callable[[bytes], None]
    max_len: int
    seconds: float
    words: tuple[bytes, ...] = field(repr=False)

    def check(self, data: bytes) -> None:
        """Run the input, also against the clock; raise for a finding."""
        for _ in range(TRIES):
            begun = time.process_time()
            self.run(data)
            if (took := time.process_time() - begun) <= self.seconds:
                return
        raise BrokenPromiseError(f"{len(data)} bytes take {took:.2f} s of processor time, of {self.seconds} allowed")


TARGETS: dict[str, Target] = {}
"""Every target whose module was imported, by name."""


def target(
    *, max_len: int = 4096, seconds: float = SECONDS, words: tuple[bytes, ...] = ()
) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Make a target of a function ``fuzz_NAME``."""

    def register(function: Callable[[bytes], None]) -> Callable[[bytes], None]:
        name = function.__name__.removeprefix("fuzz_")
        TARGETS[name] = Target(name, function.__module__, function, max_len, seconds, words)
        return function

    return register


def attempt(
    refuses: type[Exception] | tuple[type[Exception], ...], parse: Callable[..., T], *arguments: Any
) -> T | None:
    """What the parser returns; ``None`` where it raised an error that it is documented to raise."""
    try:
        return parse(*arguments)
    except refuses:
        return None


def must(holds: object, promise: str) -> None:
    """Raise unless the promise was kept."""
    if not holds:
        raise BrokenPromiseError(promise)


def pieces(data: bytes) -> Iterator[list[bytes]]:
    """The data as it may arrive: whole, cut in two where the data itself says, and byte by byte."""
    yield [data]
    cut = data[0] % len(data) if data else 0
    yield [data[:cut], data[cut:]]
    yield [data[at : at + 1] for at in range(len(data))]


def counted(data: bytes) -> Iterator[bytes]:
    """The strings in ``data``, each after its length (2 bytes); the last one may be cut short."""
    at = 0
    while at + 2 <= len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        yield data[at + 2 : at + 2 + length]
        at += 2 + length


def join_counted(*parts: bytes) -> bytes:
    """What ``counted`` takes apart."""
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise BrokenPromiseError("it waits for something, with all its input there")


def bound_memory() -> None:
    """Let this process have no more than ``MAX_MEMORY``."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
