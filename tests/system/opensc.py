"""What a person does on the remote with OpenSC and openssl, as functions."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from lab.cards import MODULE
from lab.hosts import Host

WORK = "/root/work"
TEXT = "The quick brown fox jumps over the lazy dog.\n"

IDS = {"9A": "01", "9C": "02", "9D": "03", "9E": "04"} | {f"{0x82 + n:02X}": f"{5 + n:02d}" for n in range(20)}
"""The identifiers that OpenSC gives the keys of the slots."""


def pkcs11_tool(
    remote: Host, *arguments: str, check: bool = True, timeout: float = 30
) -> subprocess.CompletedProcess[str]:
    """Run pkcs11-tool; its errors go to the output too."""
    remote.run(["mkdir", "-p", WORK])
    line = ["sh", "-c", 'exec "$@" 2>&1', "sh", "pkcs11-tool", "--module", MODULE, *arguments]
    return remote.run(line, folder=WORK, check=check, timeout=timeout)


def openssl(remote: Host, *arguments: str) -> str:
    return remote.run(["openssl", *arguments], folder=WORK).stdout


def read_public_key(remote: Host, slot: str, card: str = "") -> str:
    """Take the public key out of the card's certificate; the name of its PEM file. ``card`` is one of several."""
    which = ["--type", "cert", "--id", IDS[slot], *_label(card)]
    pkcs11_tool(remote, "--read-object", *which, "--output-file", f"{slot}.der")
    openssl(remote, "x509", "-inform", "DER", "-in", f"{slot}.der", "-noout", "-pubkey", "-out", f"{slot}.pub")
    return f"{slot}.pub"


def _label(card: str) -> list[str]:
    return ["--token-label", card] if card else []


def sign(remote: Host, slot: str, mechanism: str, *more: str, text: str = TEXT, card: str = "") -> str:
    """Have the key of the slot sign the text after a login; the name of the file with the signature."""
    remote.write(f"{WORK}/text", text)
    form = ["--signature-format", "openssl"] if mechanism.startswith("ECDSA") else []
    what = ["--id", IDS[slot], "--mechanism", mechanism, "--input-file", "text", "--output-file", "signature"]
    pkcs11_tool(remote, "--login", "--sign", *what, *form, *_label(card), *more)
    return "signature"


def verify(remote: Host, slot: str, digest: str, *options: str, card: str = "") -> bool:
    """Whether openssl takes the signature for one of the slot's key."""
    key = read_public_key(remote, slot, card)
    given = ["-verify", key, "-signature", "signature", *options]
    done = remote.run(["openssl", "dgst", f"-{digest}", *given, "text"], folder=WORK, check=False)
    return done.stdout == "Verified OK\n"


def decrypt(remote: Host, slot: str, mechanism: str, encryption: Sequence[str] = (), more: Sequence[str] = ()) -> str:
    """Have openssl encrypt the text for the slot's key, and the key decrypt it; the text that comes out."""
    key = read_public_key(remote, slot)
    remote.write(f"{WORK}/text", TEXT)
    openssl(remote, "pkeyutl", "-encrypt", "-pubin", "-inkey", key, "-in", "text", "-out", "cipher", *encryption)
    what = ["--id", IDS[slot], "--mechanism", mechanism, "--input-file", "cipher", "--output-file", "plain", *more]
    pkcs11_tool(remote, "--login", "--decrypt", *what)
    return remote.read(f"{WORK}/plain")


def derive(remote: Host, slot: str, curve: str) -> tuple[str, str]:
    """A secret shared by the slot's key and a new one: as the card and as openssl derive it, in hexadecimal."""
    key = read_public_key(remote, slot)
    openssl(remote, "ecparam", "-genkey", "-name", curve, "-noout", "-out", "other.pem")
    openssl(remote, "pkey", "-in", "other.pem", "-pubout", "-outform", "DER", "-out", "other.der")
    openssl(remote, "pkeyutl", "-derive", "-inkey", "other.pem", "-peerkey", key, "-out", "expected")
    files = ["--input-file", "other.der", "--output-file", "secret"]
    pkcs11_tool(remote, "--login", "--derive", "--id", IDS[slot], "--mechanism", "ECDH1-DERIVE", *files)
    return hexadecimal(remote, "secret"), hexadecimal(remote, "expected")


def hexadecimal(remote: Host, name: str) -> str:
    """A file of the working folder."""
    return remote.run(["od", "-An", "-v", "-tx1", name], folder=WORK).stdout.replace(" ", "").replace("\n", "")
