"""How an admin finds a remote and comes to trust it: by every kind of address, asked once, and never talked over."""

from collections.abc import Iterator

import pytest

from lab import product
from lab.hosts import Host
from lab.processes import LabError
from lab.product import CARDS, LOCAL_PORT, PIN, PORT, SRA, Service, Terminal, World, start_remote

IDENTITY = "/etc/sra/identity"
TRUST = "/root/trust"


@pytest.fixture(scope="module", autouse=True)
def _ann(world: World) -> None:
    world.add_person("ann")


@pytest.fixture
def no_memory(world: World) -> Iterator[None]:
    """The admin knows no remote."""
    world.admin.run(["rm", "-rf", "/root/.config/sra"])
    yield
    world.admin.run(["rm", "-rf", "/root/.config/sra"])


def connects(world: World, to: str, *options: str, service: Service | None = None) -> tuple[int, str]:
    """The exit status of ``sra connect``, 0 if the card was inserted, and what it said."""
    connection = product.connect(world.admin, service or world.service, "software:ann", *options, to=to)
    try:
        connection.wait_for("The card is inserted", 20)
    except LabError:
        return connection.wait(), connection.output
    connection.terminate()
    return connection.wait(), connection.output


def first_time(world: World, to: str = "remote") -> Terminal:
    """A person connects who has not been told the fingerprint."""
    return Terminal(world.admin, [SRA, "connect", to, "--card", "software:ann", "--cards-dir", CARDS])


def end(terminal: Terminal) -> int:
    terminal.process.terminate()
    return terminal.process.wait()


NAMES = ("remote", "remote:4116", "REMOTE.")
NUMBERS = ("10.116.0.2", "10.116.0.2:4116", "fd5a:7261:116::2", "[fd5a:7261:116::2]", "[fd5a:7261:116::2]:4116")


@pytest.mark.parametrize("to", NAMES + NUMBERS)
def test_every_kind_of_address_leads_there(world: World, to: str) -> None:
    assert connects(world, to)[0] == 0


@pytest.mark.parametrize(
    ("to", "status", "said"),
    [
        ("remote:4119", 5, "remote port 4119 can't be reached: "),
        ("nowhere.invalid", 5, "nowhere.invalid port 4116 can't be reached: "),
        ("remote:99999", 2, "is not a host and a port. Write HOST, HOST:PORT or [IPV6]:PORT."),
        ("[fd5a::2", 2, "is not a host. Write HOST, HOST:PORT or [IPV6]:PORT."),
    ],
)
def test_an_address_that_leads_nowhere_is_told(world: World, to: str, status: int, said: str) -> None:
    ended, output = connects(world, to)
    assert (ended, said in output) == (status, True), output


@pytest.mark.usefixtures("no_memory")
def test_an_unknown_remote_is_asked_about_once_and_remembered(world: World) -> None:
    first = first_time(world)
    first.process.wait_for(f"remote:4116 is not known yet. Its fingerprint is\r\n  {world.service.fingerprint}")
    first.answer("Trust it? [y/N] ", "y")
    first.answer("PIN of software:ann", PIN)
    first.process.wait_for("The card is inserted")
    end(first)
    listed = world.admin.run([SRA, "trust", "list"]).stdout
    assert world.service.fingerprint in listed
    second = first_time(world)
    second.answer("PIN of software:ann", PIN)
    second.process.wait_for("The card is inserted")
    end(second)
    assert "Trust it?" not in second.process.output


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("typed", ["n", ""])
def test_a_remote_that_is_not_trusted_is_told_nothing(world: World, typed: str) -> None:
    sessions = world.service.process.output.count("connected as")
    terminal = first_time(world)
    terminal.answer("Trust it? [y/N] ", typed)
    assert terminal.process.wait() == 6
    assert "remote:4116 is not trusted, so nothing was sent." in terminal.process.output
    assert world.service.process.output.count("connected as") == sessions
    assert "No remote is remembered yet" in world.admin.run([SRA, "trust", "list"]).stdout


def test_another_fingerprint_than_the_one_given_is_refused(world: World) -> None:
    wrong = Service(world.service.process, "SHA256:" + ":".join(["AB"] * 32))
    status, said = connects(world, "remote", service=wrong)
    assert (status, "remote:4116 is not the remote with the fingerprint that you gave." in said) == (6, True)
    assert world.service.fingerprint in said


@pytest.mark.parametrize("port", [PORT, LOCAL_PORT])
def test_openssl_shows_the_certificate_on_both_ports(world: World, port: int) -> None:
    from_host, address = (world.admin, "remote") if port == PORT else (world.remote, "127.0.0.1")
    shown = from_host.run(["openssl", "s_client", "-connect", f"{address}:{port}"], check=False).stdout
    assert "New, TLSv1.3" in shown
    assert fingerprint_of(from_host, shown) == world.service.fingerprint


def fingerprint_of(host: Host, certificate: str) -> str:
    found = host.run(["openssl", "x509", "-noout", "-fingerprint", "-sha256"], input=certificate).stdout
    return "SHA256:" + found.partition("=")[2].strip()


def restarted(world: World) -> Service:
    """The remote's side again, with the identity that is there now."""
    world.service.process.terminate()
    world.service.process.wait()
    return start_remote(world.remote)


@pytest.fixture
def kept_identity(world: World) -> Iterator[None]:
    """Whatever becomes of the remote's identity, it is put back."""
    world.remote.run(["cp", "-a", IDENTITY, "/root/kept-identity"])
    yield
    world.remote.run(["sh", "-c", f"rm -rf {IDENTITY} && mv /root/kept-identity {IDENTITY}"])


@pytest.mark.usefixtures("no_memory", "kept_identity")
def test_a_changed_identity_is_refused_loudly_until_it_is_forgotten(world: World) -> None:
    first = first_time(world)
    first.answer("Trust it? [y/N] ", "y")
    first.answer("PIN of software:ann", PIN)
    first.process.wait_for("The card is inserted")
    end(first)
    world.remote.run([SRA, "identity", "generate", "--force", "--host", "remote"])
    other = restarted(world)
    assert other.fingerprint != world.service.fingerprint
    changed = first_time(world)
    assert changed.process.wait() == 6
    said = changed.process.output
    assert "THE IDENTITY OF remote:4116 HAS CHANGED. Somebody may be in between" in said
    assert world.service.fingerprint in said
    assert other.fingerprint in said
    world.admin.run([SRA, "trust", "forget", "remote"])
    again = first_time(world)
    again.answer("Trust it? [y/N] ", "n")
    assert again.process.wait() == 6
    other.process.terminate()
    other.process.wait()


def issue(host: Host, name: str) -> str:
    """An authority of that name, and an identity for ``remote`` that it has issued."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    folder = f"{TRUST}/{name}"
    host.run(["mkdir", "-p", folder])
    for arguments in (
        ["req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN={name}", "-days", "3"],
        ["req", *curve, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=remote"],
    ):
        host.run(["openssl", *arguments], folder=folder)
    host.write(f"{folder}/names", "subjectAltName = DNS:remote\nextendedKeyUsage = serverAuth\n")
    sign = [
        "x509",
        "-req",
        "-in",
        "request.pem",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-days",
        "3",
        "-extfile",
        "names",
    ]
    host.run(["openssl", *sign, "-out", "certificate.pem"], folder=folder)
    return folder


@pytest.mark.usefixtures("no_memory", "kept_identity")
def test_an_authority_vouches_for_a_remote_by_its_name(world: World) -> None:
    for name in ("good", "bad"):
        folder = issue(world.remote, name)
        world.admin.write(f"{TRUST}/{name}.pem", world.remote.read(f"{folder}/ca.pem"))
    for file in ("key.pem", "certificate.pem"):
        world.remote.run(["sh", "-c", f"cat {TRUST}/good/{file} >{IDENTITY}/{file}"])
    service = restarted(world)
    assert by_authority(world, "remote", "good") == (0, "")
    status, said = by_authority(world, "remote", "bad")
    assert (status, "remote:4116 is not trusted by the given authority" in said) == (6, True)
    status, said = by_authority(world, world.remote.address, "good")
    assert (status, "is not trusted by the given authority" in said) == (6, True)
    service.process.terminate()
    service.process.wait()


def by_authority(world: World, to: str, authority: str) -> tuple[int, str]:
    """The exit status and the last words of a person who trusts an authority."""
    given = ["--ca-file", f"{TRUST}/{authority}.pem", "--card", "software:ann", "--cards-dir", CARDS]
    terminal = Terminal(world.admin, [SRA, "connect", to, *given])
    try:
        terminal.answer("PIN of software:ann", PIN)
    except LabError:
        return terminal.process.wait(), terminal.process.output
    terminal.process.wait_for("The card is inserted")
    end(terminal)
    return 0, ""
