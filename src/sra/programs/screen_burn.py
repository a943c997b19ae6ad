"""What PAM runs when the screen's password was right: have it made void, or refuse the login.

``python -I -m sra.programs.screen_burn SOCKET``; it imports next to nothing, since a person waits for it.
"""

import socket
import sys

DEADLINE = 25.0
"""Seconds: longer than the helper's own for chpasswd."""


def burn(path: str) -> bool:
    """Whether this was the password's first use, and it is void now."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.settimeout(DEADLINE)
        try:
            asking.connect(path)
            asking.send(b'{"type":"burn"}')
            return asking.recv(4096) == b'{"type":"done"}'
        except OSError:
            return False


if __name__ == "__main__":
    raise SystemExit(0 if burn(sys.argv[1]) else 1)
