"""A fresh Debian as a folder, made once with mmdebstrap and kept in ``build``: what machines with systemd boot from."""

from __future__ import annotations

import fcntl
import hashlib
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.processes import LabError

BUILD = Path(__file__).resolve().parent.parent / "build"
RECIPE = 1
"""To be counted up when the way in which a root is made changes."""

SYSTEM = ("systemd-sysv", "dbus", "iproute2", "util-linux")
"""What a machine needs to boot and to be looked at."""
ALWAYS_NEW = ("--skip=cleanup/reproducible",)


def debian_root(packages: Sequence[str], ready: Sequence[str] = ()) -> Path:
    """A folder with a minimal Debian of this machine's release, and these packages; no user may write in it.

    ``ready``: packages that apt can install there without a network, with what they depend on.
    """
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    wanted = sorted({*SYSTEM, *packages})
    key = hashlib.sha256(repr((RECIPE, suite, platform.machine(), wanted, *sorted(ready))).encode()).hexdigest()[:16]
    root = BUILD / f"root-{key}"
    BUILD.mkdir(exist_ok=True)
    with (BUILD / f".root-{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _make(root, suite, wanted, ready)
    return root


def _make(root: Path, suite: str, packages: Sequence[str], ready: Sequence[str]) -> None:
    draft = root.with_suffix(".new")
    subprocess.run(["rm", "-rf", "--one-file-system", draft], check=True)
    command = ["mmdebstrap", "--variant=minbase", *ALWAYS_NEW, f"--include={','.join(packages)}", *_kept(ready)]
    made = subprocess.run(
        [*command, suite, str(draft), "-"], input=_sources(), capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        raise LabError(f"no root for a fresh machine could be made:\n{made.stderr}")
    draft.rename(root)


def _kept(ready: Sequence[str]) -> list[str]:
    """Options that leave what apt knows, and these packages in its cache."""
    if not ready:
        return []
    apt = "APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get"
    fetch = f"{apt} clean && {apt} install --yes --download-only {' '.join(ready)}"
    return [f"--customize-hook={fetch}", "--skip=cleanup/apt"]


def _sources() -> str:
    """The lines of sources.list for Debian's own packages, from where this machine gets them."""
    line = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", line, "Created-By: Packages", "Origin: Debian"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "\n".join(sorted(set(listed.splitlines()))) + "\n"
