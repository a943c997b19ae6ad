"""A remote without a license that holds lets nobody in: the admin reads why, and no PIN is asked for."""

import re
import time
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lab import product
from lab.hosts import Host, two_hosts
from lab.licenses import DAY, ISSUER, PROFILE, a_license, files_of
from lab.processes import wait_until
from lab.product import CARDS, SRA, Service, Terminal

NOW = int(time.time())
INSTALL = "sra license install FILE"
NEW_ONE = f"Its administrator installs a new one there: {INSTALL}"
WITH_KEY = f"Its administrator installs it with its issuer's key: {INSTALL} --issuer KEY"
PROMPT = "PIN of"
CLOCK = "Its administrator sets the clock, or waits."
STATE = "/var/lib/sra/latest-time"


class Lab:
    """A remote at work, whose license the tests change, and an admin with a card that opens an account there."""

    def __init__(self, admin: Host, remote: Host, service: Service) -> None:
        self.admin, self.remote, self.service = admin, remote, service

    def put(self, files: dict[str, str]) -> None:
        """Nothing but these files of a license, and no memory of later times."""
        for folder in ("profiles", "trust/license.d"):
            self.remote.run(["rm", "-rf", f"/etc/sra/{folder}"])
        for path, text in files.items():
            self.remote.write(f"/{path}", text)

    def connect(self) -> Terminal:
        """``sra connect`` at a terminal, where a PIN could be typed."""
        command = [str(SRA), "connect", "remote", "--card", "software:ann", "--cards-dir", CARDS]
        return Terminal(self.admin, [*command, "--fingerprint", self.service.fingerprint])

    def refusal(self) -> str:
        """The last that the admin's screen shows, without ever having asked for a PIN."""
        connecting = self.connect().process
        assert connecting.wait() == 3
        assert PROMPT not in connecting.output
        before, error, text = connecting.output.rpartition("sra: error: ")
        assert before.count(error) == 0
        return text.strip()

    def is_let_in(self) -> bool:
        connection = product.insert(self.admin, self.service, "software:ann")
        connection.terminate()
        return connection.wait() == 0


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with two_hosts() as (admin, remote):
        remote.pcscd()
        service = product.start_remote(remote, licensed=False)
        product.World(admin, remote, service).add_person("ann")
        yield Lab(admin, remote, service)


def files_with(**changes: object) -> dict[str, str]:
    return dict(files_of(a_license(**changes)))


def day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


REFUSALS = {
    "none": (
        {},
        f"remote has no license, so nobody can connect to it. Its administrator installs one there: {INSTALL}",
    ),
    "expired": (
        files_with(begins=NOW - 3 * DAY, ends=NOW - 2 * DAY),
        f"The license of remote expired on {day(NOW - 2 * DAY)}. {NEW_ONE}",
    ),
    "of the future": (
        files_with(begins=NOW + 5 * DAY),
        f"The license of remote is not valid before {day(NOW + 5 * DAY)}, and there it is {day(NOW)}. {CLOCK}",
    ),
    "of another host": (
        files_with(hosts=("admin", "kiosk-*")),
        f"The license on remote is for other machines. Its administrator installs one of its own there: {INSTALL}",
    ),
    "for something else": (
        files_with(features=("screen-sharing",)),
        f"The license of remote does not include remote access. {NEW_ONE}",
    ),
    "of a stranger": (
        files_with() | {ISSUER: files_with()[ISSUER]},
        f"The license of remote is signed by no issuer that this machine trusts. {WITH_KEY}",
    ),
    "damaged": (
        files_with() | {PROFILE: files_with()[PROFILE][:-40]},
        f"The license of remote is damaged and can't be read. {NEW_ONE}",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_the_admin_reads_why_and_is_asked_for_no_pin(lab: Lab, what: str) -> None:
    files, text = REFUSALS[what]
    lab.put(files)
    assert lab.refusal() == text
    status = lab.remote.run([SRA, "license", "status"], check=False)
    assert (status.returncode, status.stderr) == (3, f"sra: error: {text}\n")
    assert f"refused: {text}" in lab.service.process.output
    assert text in lab.remote.run([SRA, "status"], check=False).stdout


def test_a_license_that_was_changed_after_it_was_signed_is_forged(lab: Lab) -> None:
    key = Ed25519PrivateKey.generate()
    short, long = (dict(files_of(a_license(ends=NOW + days * DAY), key)) for days in (1, 1000))
    signed, changed = (statement(files[PROFILE]) for files in (short, long))
    payload = changed.split(".")[1]
    header, _, signature = signed.split(".")
    lab.put(short | {PROFILE: short[PROFILE].replace(signed, f"{header}.{payload}.{signature}")})
    assert lab.refusal() == (
        f"The license of remote is forged: its signature is not its issuer's, or it was changed afterwards. {NEW_ONE}"
    )


def statement(profile: str) -> str:
    return profile.partition("<string>ey")[2].partition("<")[0].join(("ey", ""))


def test_with_a_license_that_holds_the_admin_comes_in_at_once(lab: Lab) -> None:
    lab.put({})
    assert "has no license" in lab.refusal()
    lab.put(files_with(hosts=("rem*",)))
    assert lab.is_let_in()


def test_with_a_license_that_holds_the_pin_is_asked_for(lab: Lab) -> None:
    lab.put(files_with())
    connecting = lab.connect().process
    connecting.wait_for(PROMPT)
    connecting.kill()


def test_one_issued_and_installed_by_command_lets_in_and_removing_it_does_not(lab: Lab) -> None:
    lab.put({})
    passphrase = "a passphrase of the fleet\n"
    lab.admin.run([SRA, "license", "keygen", "--passphrase-fd", "0"], input=passphrase)
    issue = ["issue", "--licensee", "Lab", "--hosts", "remote", "--days", "1", "--machines", "1"]
    lab.admin.run([SRA, "license", *issue, "--out", "/root/it.mobileconfig", "--passphrase-fd", "0"], input=passphrase)
    lab.remote.write("/root/it.mobileconfig", lab.admin.read("/root/it.mobileconfig"))
    lab.remote.write("/root/issuer.pem", lab.admin.read("/root/.config/sra/license-issuer.pub.pem"))
    lab.remote.run([SRA, "license", "install", "/root/it.mobileconfig", "--issuer", "/root/issuer.pem"])
    assert lab.is_let_in()
    lab.remote.run([SRA, "license", "remove"])
    assert "has no license" in lab.refusal()


def test_one_in_a_signed_profile_lets_in(lab: Lab) -> None:
    files = files_with()
    lab.put(files)
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=MDM", "-keyout", "/root/k"]
    lab.remote.run([*request, "-out", "/root/c"])
    sign = [
        "openssl",
        "cms",
        "-sign",
        "-nodetach",
        "-binary",
        "-outform",
        "DER",
        "-signer",
        "/root/c",
        "-inkey",
        "/root/k",
    ]
    lab.remote.run([*sign, "-in", f"/{PROFILE}", "-out", "/root/signed.mobileconfig"])
    lab.remote.run([SRA, "license", "remove"])
    lab.remote.run([SRA, "license", "install", "/root/signed.mobileconfig"])
    assert lab.is_let_in()


def test_a_clock_set_back_does_not_revive_an_expired_one(lab: Lab) -> None:
    """As a daemon finds it that starts on a machine whose clock had shown a later time before."""
    lab.put(files_with(ends=NOW + 30 * DAY))
    lab.remote.write(STATE, time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(NOW + 31 * DAY)))
    restart(lab)
    assert lab.refusal() == (
        f"The license of remote expired on {day(NOW + 30 * DAY)}: the clock of that machine was set back "
        f"since it showed {day(NOW + 31 * DAY)}. {NEW_ONE}; or, if the clock was wrong then: sra license clock --accept"
    )
    assert "was set back" in lab.remote.run([SRA, "license", "status"], check=False).stderr
    for command in ("doctor", "status"):
        assert "sra license clock --accept" in lab.remote.run([SRA, command], check=False).stdout
    lab.remote.run([SRA, "license", "clock", "--accept"])
    assert lab.remote.read(STATE).startswith(day(int(time.time())))
    assert lab.is_let_in()  # without a restart
    lab.remote.write(STATE, time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(NOW + 31 * DAY)))
    assert "set back" in lab.refusal()
    lab.remote.run(["rm", STATE])
    assert lab.is_let_in()


def restart(lab: Lab) -> None:
    """End srad; ``sra remote run`` starts it again."""
    before = lab.service.process.output.count("reader 1 is ready")
    pid = re.findall(r"srad runs as process ([0-9]+)", lab.service.process.output)[-1]
    lab.remote.run(["kill", pid])
    wait_until(lambda: lab.service.process.output.count("reader 1 is ready") > before, "srad and the cards", 10)
