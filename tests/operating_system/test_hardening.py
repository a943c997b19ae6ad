"""A program that knows a PIN leaves no core and lets no other program of its user look into it."""

from __future__ import annotations

import os
import subprocess
import sys

SHOWN = """
import ctypes, os, resource
from sra.system import hardening
hardening.keep_memory_private()
owner = os.stat("/proc/self/mem").st_uid
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE), owner)
"""


def test_there_is_no_core_and_no_debugger_of_the_same_user() -> None:
    shown = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, check=True).stdout
    dumpable, soft, hard, owner = map(int, shown.split())
    assert (dumpable, soft, hard) == (0, 0, 0)
    assert owner == 0


PEEK = """
import os, subprocess, sys
os.setuid(65534)
program = "from sra.system import hardening; %s; print('up', flush=True); input()"
child = subprocess.Popen([sys.executable, "-c", program],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
child.stdout.readline()
try:
    os.close(os.open(f"/proc/{child.pid}/mem", os.O_RDONLY))
    print("read")
except OSError:
    print("kept out")
child.communicate("\\n")
"""


def test_another_program_of_the_user_can_not_read_its_memory() -> None:
    if os.geteuid() != 0:
        return_code = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, check=False).returncode
        assert return_code == 0
        return
    outcomes = [
        subprocess.run([sys.executable, "-c", PEEK % call], capture_output=True, text=True, check=True).stdout.strip()
        for call in ("hardening", "hardening.keep_memory_private()")
    ]
    assert outcomes == ["read", "kept out"]
