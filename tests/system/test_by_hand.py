"""``sra remote run`` as root, from an installation of one's own."""

from lab.hosts import CHECKOUT, Host
from lab.product import SRA

MODULE = ["-c", "from sra.cli.main import main; main()"]


def test_programs_that_the_services_users_cant_read_are_named_with_what_to_do(remote: Host) -> None:
    remote.run(["install", "-d", "--mode=0700", "/root/own"])
    remote.run(["ln", "-s", CHECKOUT / ".venv", "/root/own/.venv"])
    remote.run([SRA, "identity", "generate", "--host", "remote"])
    started = remote.run(["/root/own/.venv/bin/python", *MODULE, "remote", "run"], check=False)
    assert started.returncode == 2
    assert started.stderr == (
        "sra: error: The user _sra can't run the programs in /root/own/.venv/bin. "
        "Install the package, or move the checkout to a folder that every user can read, such as /opt or /srv.\n"
    )
    assert remote.run(["test", "-e", "/run/sra"], check=False).returncode == 1
