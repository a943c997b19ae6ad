"""Parsers with a planted mistake, for the test that fuzzing can say “finding”."""

import time

from fuzz.target import attempt, target
from sra.piv import tlv

MAGIC = b"\x53\x02\xca\xfe"


def sabotaged(data: bytes) -> tuple[tlv.Element, ...]:
    if data == MAGIC:
        raise KeyError("planted")
    return tlv.parse(data)


@target(max_len=64)
def fuzz_planted_error(data: bytes) -> None:
    attempt(tlv.TlvError, sabotaged, data)


@target(max_len=64, seconds=0.01)
def fuzz_planted_delay(data: bytes) -> None:
    if data[:1] == b"\x53":
        begun = time.process_time()
        while time.process_time() - begun < 0.05:
            pass


@target(max_len=64)
def fuzz_planted_nothing(data: bytes) -> None:
    attempt(tlv.TlvError, tlv.parse, data)
