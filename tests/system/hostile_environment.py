"""The environment of a user who wants a program with set-user-ID to run their code: run on a host, as that user.

Each variable that the libraries of a card's login could know has the same value in one run: a library, settings of
OpenSC, settings of OpenSSL, a folder with all of these, the socket of a smart card service of the user's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

FOLDER = Path("/tmp/hostile")
LIBRARY = FOLDER / "evil.so"
RAN = FOLDER / "ran"
PATIENCE = 10.0
"""Seconds for all programs together: a wrong password costs a few."""

OPENSC_CONF = f'app default {{ reader_driver pcsc {{ provider_library = "{LIBRARY}"; }} }}\n'
OPENSSL_CONF = f"""\
openssl_conf = init
[init]
engines = engines
providers = providers
[engines]
evil = evil
[evil]
dynamic_path = {LIBRARY}
init = 1
[providers]
evil = provider
[provider]
module = {LIBRARY}
activate = 1
"""
LIBRARIES = ("libpcsclite.so.1", "libpcsclite_real.so.1", "libz.so.1", "legacy.so", "pkcs11.so", "p11-kit-proxy.so")

_NAME = re.compile(rb"(?<![A-Za-z0-9_])[A-Za-z_][A-Za-z0-9_]{3,48}(?=\0)")
_IS_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{3,48}|[a-z]+_proxy")


def variables(roots: list[str]) -> set[str]:
    """Every word that could be a variable's name in these libraries, and in all that they load."""
    said = subprocess.run(["ldd", *roots], stdout=subprocess.PIPE, text=True, check=True).stdout
    libraries = {*roots, *re.findall(r"(/\S+) \(0x", said)}
    found: set[str] = {"HOME", "PATH", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "TMPDIR", "LD_PRELOAD", "LD_AUDIT"}
    for library in libraries:
        found |= {name.decode() for name in _NAME.findall(Path(library).read_bytes())}
    return {name for name in found if _IS_VARIABLE.fullmatch(name)}


def prepare() -> dict[str, Path]:
    """Lay out the files; the values that variables get."""
    home = FOLDER / "home"
    for folder in (RAN, home, home / ".config" / "opensc", home / ".eid"):
        folder.mkdir(parents=True, exist_ok=True)
    RAN.chmod(0o777)
    values = {"opensc.conf": FOLDER / "opensc.conf", "openssl.cnf": FOLDER / "openssl.cnf"}
    for path in (values["opensc.conf"], home / "opensc.conf", home / ".config/opensc/opensc.conf"):
        path.write_text(OPENSC_CONF)
    for path in (values["openssl.cnf"], home / "openssl.cnf"):
        path.write_text(OPENSSL_CONF)
    for name in LIBRARIES:
        (home / name).symlink_to(LIBRARY)
    return {**values, "library": LIBRARY, "folder": home, "socket": FOLDER / "pcscd.comm"}


def serve(path: Path) -> None:
    """A smart card service that notes who comes, and has nothing."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o777)
    listening.listen(64)
    while True:
        come, _ = listening.accept()
        _, uid, _ = struct.unpack("3i", come.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        (RAN / f"{uid}-socket").touch()
        come.close()


def main() -> None:
    """Run each command in each environment, all at once; print what ran as whom, and what was made."""
    order = json.loads(sys.argv[1])
    values, names = prepare(), variables(order["libraries"])
    threading.Thread(target=serve, args=(values["socket"],), daemon=True).start()
    running = []
    for command in order["commands"]:
        for value in values.values():
            environment = {**dict.fromkeys(names, str(value)), **order["keep"]}
            running.append(
                subprocess.Popen(
                    command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
                )
            )
    for process in running:
        if process.stdin:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(b"what polkit's helper takes for its cookie, and the others for a password\n")
                process.stdin.close()
    end = time.monotonic() + PATIENCE
    for process in running:
        try:
            process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
    said = [process.stdout.read().decode(errors="replace") for process in running if process.stdout]
    theirs = [str(path) for path in FOLDER.rglob("*") if path.lstat().st_uid != os.getuid() and path.parent != RAN]
    ran = sorted(path.name for path in RAN.iterdir())
    print(json.dumps({"ran": ran, "made": theirs, "names": len(names), "said": said}))


if __name__ == "__main__":
    main()
