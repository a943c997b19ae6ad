"""Fuzz one target with atheris: ``python -m fuzz.one MODULE TARGET [LIBFUZZER-OPTION...] [CORPUS...]``."""

from __future__ import annotations

import importlib
import logging
import sys

import atheris

from fuzz.target import TARGETS, bound_memory

INSTRUMENTED = ["sra", "tomlkit", "tomllib", "plistlib", "jwt", "jeepney", "asn1crypto", "pyhanko_certvalidator"]
"""What is written in Python; ``cryptography``, ``msgspec`` and zlib are not seen into."""


def main(module: str, name: str, *options: str) -> None:
    """Fuzz until a limit of libFuzzer's is reached, or a finding."""
    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        importlib.import_module(module)
    logging.disable(logging.WARNING)
    bound_memory()
    found = TARGETS[name]
    atheris.Setup([sys.argv[0], f"-max_len={found.max_len}", *options], found.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
