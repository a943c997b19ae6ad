"""GnuPG of Debian 12: its own scdaemon knows no PIV cards; with gnupg-pkcs11-scd it uses the PIN pad, and the code."""

import re

import pytest

from lab.cards import MODULE
from lab.hosts import Host
from lab.product import World, code_of, wait_for_card

HOME = "/root/gnupg"
KEY = """\
Key-Type: RSA
Key-Grip: {}
Key-Usage: sign
Name-Email: ann@example.org
Expire-Date: 0
%commit
"""
PINENTRY = """\
#!/bin/sh
# Somebody who types the PIN that GnuPG's agent asks for, if it does.
echo OK
while read -r word rest; do
    case $word in GETPIN) echo "D {}" ;; esac
    echo OK
    case $word in BYE) exit ;; esac
done
"""


@pytest.fixture(scope="module", autouse=True)
def _ann(world: World) -> None:
    world.add_person("ann", ["9A=RSA2048"])


def prepare(remote: Host, agent: str, typed: str = "") -> None:
    """A home for GnuPG, anew, with these settings of its agent's."""
    remote.run(["rm", "-rf", HOME])
    remote.run(["install", "-d", "--mode=0700", HOME])
    remote.write(f"{HOME}/pinentry", PINENTRY.format(typed), mode=0o755)
    remote.write(f"{HOME}/gpg-agent.conf", f"pinentry-program {HOME}/pinentry\n{agent}")
    remote.write(f"{HOME}/scdaemon.conf", "disable-ccid\npcsc-shared\n")
    provider = f"provider-sra-library {MODULE}\nprovider-sra-allow-protected-auth\n"
    remote.write(f"{HOME}/gnupg-pkcs11-scd.conf", f"providers sra\n{provider}")


def agent(remote: Host, *orders: str) -> str:
    """What GnuPG's agent says to these."""
    return remote.run(["gpg-connect-agent", "--homedir", HOME, *orders, "/bye"]).stdout


def gpg(remote: Host, *words: str, text: str = "") -> str:
    """What gpg tells."""
    done = remote.run(["gpg", "--homedir", HOME, "--batch", *words], input=text)
    return done.stdout + done.stderr


def end(remote: Host) -> None:
    remote.run(["gpgconf", "--homedir", HOME, "--kill", "all"])


@pytest.mark.parametrize("entry", ["pad", "code"])
def test_it_signs_through_pkcs11(world: World, entry: str) -> None:
    remote = world.remote
    with world.inserted("ann", entry=entry) as connection:
        wait_for_card(remote)
        code = code_of(connection) if entry == "code" else ""
        prepare(remote, "scdaemon-program /usr/bin/gnupg-pkcs11-scd\n", code)
        (grip,) = re.findall("S KEYPAIRINFO ([0-9A-F]{40})", agent(remote, "SCD LEARN --force"))
        agent(remote, "LEARN --force")
        gpg(remote, "--passphrase", "", "--full-gen-key", text=KEY.format(grip))
        remote.write(f"{HOME}/text", "a text\n")
        gpg(remote, "--detach-sign", f"{HOME}/text")
        assert "Good signature" in gpg(remote, "--verify", f"{HOME}/text.sig", f"{HOME}/text")
        end(remote)
        given = {"pad": "PIN asked on the PIN pad: right.", "code": "PIN typed on the remote: right."}
        assert {how: connection.output.count(words) for how, words in given.items()} == {
            how: int(how == entry) for how in given
        }
        assert "Key 9A signed" in connection.output


def test_its_own_daemon_knows_no_piv_cards(world: World) -> None:
    """If this fails, a newer one does: then docs/logins.md has to say so."""
    with world.inserted("ann"):
        wait_for_card(world.remote)
        prepare(world.remote, "")
        assert "No such device" in agent(world.remote, "SCD SERIALNO piv")
        end(world.remote)
