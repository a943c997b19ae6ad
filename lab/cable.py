"""A cable between two networks of this machine."""

from __future__ import annotations

import subprocess
from typing import NamedTuple

from lab.processes import LabError

ADMIN, ADMIN6 = "10.116.0.1", "fd5a:7261:116::1"
REMOTE, REMOTE6 = "10.116.0.2", "fd5a:7261:116::2"
END = """\
link set lo up
address add {end.address}/24 dev eth0
address add {end.address6}/64 dev eth0
link set eth0 up
"""


class CableEnd(NamedTuple):
    """A process in the network that the end is in, as the outer machine counts, and the addresses it gets there."""

    process: int
    address: str
    address6: str


def lay_cable(one: CableEnd, other: CableEnd) -> None:
    """Lay a cable. Its ends are made inside the networks, so that no name has to be unique on the machine.

    Their numbers differ because the kernel tells a link that goes to another number at once that it is up, but lets
    one that seems to go to itself wait for as long as a second. Raises ``LabError`` if there can't be one.
    """
    names = (["name", "eth0", "netns", str(end.process)] for end in (one, other))
    first, second = names
    _ip(["ip", "link", "add", *first, "index", "10", "type", "veth", "peer", *second], "")
    for end in (one, other):
        _ip(["nsenter", f"--target={end.process}", "--net", "--", "ip", "-batch", "-"], END.format(end=end))


def _ip(command: list[str], typed: str) -> None:
    made = subprocess.run(command, input=typed, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise LabError(f"no cable could be laid: {made.stderr}")
