"""The main job, on two hosts of this machine: a card in one of them works in the other.

Everything is real: pcscd with our reader, OpenSC, PAM, the network between the two. When it ends nothing is left.
"""

from __future__ import annotations

import sys
import time

from demo import screen
from demo.steps import console, step
from lab import product
from lab.cards import MODULE
from lab.hosts import CHECKOUT, Host, two_hosts
from lab.processes import LabError, Process, wait_until
from lab.product import BIN, CARDS, PIN, SRA, Service
from lab.screen import add_screen_account

ACCOUNT = "alice"
PASSPHRASE = "a passphrase of the fleet's owner"  # noqa: S105
WORK = "/root/work"
TEXT = "The quick brown fox jumps over the lazy dog.\n"


def main() -> None:
    """Run the demonstration."""
    begun = time.monotonic()
    try:
        with two_hosts() as (admin, remote):
            _run(admin, remote)
    except LabError as error:
        console.print("[red]failed[/red]")
        sys.exit(f"The demonstration failed: {error}")
    console.print(
        f"[bold green]All of it worked[/bold green], in {time.monotonic() - begun:.1f} s. Nothing is left behind."
    )


def _run(admin: Host, remote: Host) -> None:
    remote.run(["mkdir", "-p", WORK])
    with step("A software card on the admin's machine: RSA in 9A and 9D, P-256 in 9C"):
        pem = product.make_card(admin, ACCOUNT, ["9A=RSA2048", "9C=P256", "9D=RSA2048"])
        product.make_card(admin, "mallory", ["9A=RSA2048"])
    with step("The remote: identity, readers in pcscd, srad and the virtual cards") as shown:
        remote.add_account(ACCOUNT, "a password that is not used")
        add_screen_account(remote)
        remote.pcscd()
        service = product.start_remote(remote, licensed=False)
        shown.append(f"fingerprint {service.fingerprint}")
    _license(admin, remote, service)
    with step("Pairing the card with the account"):
        product.pair(remote, ACCOUNT, pem)
    _show_refusals(admin, service)
    connection = _connect(admin, remote, service)
    _use(remote, pem)
    _log_in(remote, pem)
    _pull(admin, remote, connection)
    admin.run(["sh", "-c", f"mv /root/{ACCOUNT}* {CARDS}/"])
    screen.show(admin, remote, service, ACCOUNT)


def _license(admin: Host, remote: Host, service: Service) -> None:
    with step("Without a license the remote lets nobody in, and no PIN is asked") as shown:
        shown.append(_refusal(product.connect(admin, service, f"software:{ACCOUNT}")))
    with step("A license: issued with the fleet's key on the admin's machine, installed on the remote"):
        words = ["--hosts", "remote", "--days", "1", "--machines", "1", "--out", "/root/demo.mobileconfig"]
        for command in (["keygen"], ["issue", "--licensee", "Demonstration", *words]):
            admin.run([str(SRA), "license", *command, "--passphrase-fd", "0"], input=f"{PASSPHRASE}\n")
        remote.write("/root/demo.mobileconfig", admin.read("/root/demo.mobileconfig"))
        remote.write("/root/issuer.pem", admin.read("/root/.config/sra/license-issuer.pub.pem"))
        remote.run([SRA, "license", "install", "/root/demo.mobileconfig", "--issuer", "/root/issuer.pem"])


def _refusal(refused: Process) -> str:
    if refused.wait() != 3:
        raise LabError(refused.output)
    return refused.output.strip().splitlines()[-1]


def _show_refusals(admin: Host, service: Service) -> None:
    with step("A card that is paired with nobody is refused") as shown:
        shown.append(_refusal(product.connect(admin, service, "software:mallory")))
    with step("A signature forged for the paired card is refused") as shown:
        names = (CARDS, f"software:{ACCOUNT}", "software:mallory")
        impostor = (BIN / "python", "-m", "demo.impostor", "remote", service.fingerprint, *names)
        shown.append(admin.run(impostor, input=f"{PIN}\n", folder=CHECKOUT).stdout.strip())


def _connect(admin: Host, remote: Host, service: Service) -> Process:
    watcher = remote.start([BIN / "python", "-m", "demo.watch_readers"], folder=CHECKOUT)
    watcher.wait_for("watching")
    with step("Connecting: TLS, challenge, proof by the card, insertion") as shown:
        connection = product.insert(admin, service, f"software:{ACCOUNT}")
        watcher.wait_for("inserted")
        shown += [line for line in connection.output.strip().splitlines() if line]
        shown.append("PC/SC on the remote: " + watcher.output.strip().splitlines()[-1])
    return connection


def _pkcs11(remote: Host, *arguments: str) -> str:
    return remote.run(["pkcs11-tool", "--module", MODULE, *arguments], folder=WORK).stdout


def _use(remote: Host, pem: str) -> None:
    remote.write(f"{WORK}/9a.pem", pem)
    remote.write(f"{WORK}/text", TEXT)
    with step("pkcs11-tool lists its objects") as shown:
        shown += [line for line in _pkcs11(remote, "-O").splitlines() if "Object" in line]
    with step("OpenSC signs with 9A (RSA); openssl verifies. The PIN is asked on the admin's side") as shown:
        _pkcs11(remote, "--login", "--sign", "--id", "01", "-m", "SHA256-RSA-PKCS", "-i", "text", "-o", "rsa.sig")
        shown.append(_verify(remote, "9a.pem", "rsa.sig"))
    with step("OpenSC signs with 9C (P-256, PIN for each signature); openssl verifies") as shown:
        _pkcs11(remote, "--read-object", "--type", "cert", "--id", "02", "-o", "9c.der")
        remote.run(["openssl", "x509", "-inform", "DER", "-in", "9c.der", "-out", "9c.pem"], folder=WORK)
        options = ["--signature-format", "openssl", "-m", "ECDSA-SHA256"]
        _pkcs11(remote, "--login", "--sign", "--id", "02", *options, "-i", "text", "-o", "ec.sig")
        shown.append(_verify(remote, "9c.pem", "ec.sig"))
    with step("openssl encrypts for 9D (RSA); OpenSC decrypts"):
        _pkcs11(remote, "--read-object", "--type", "cert", "--id", "03", "-o", "9d.der")
        encrypt = ["-encrypt", "-certin", "-keyform", "DER", "-inkey", "9d.der", "-in", "text", "-out", "cipher"]
        remote.run(["openssl", "pkeyutl", *encrypt], folder=WORK)
        _pkcs11(remote, "--login", "--decrypt", "--id", "03", "-m", "RSA-PKCS", "-i", "cipher", "-o", "plain")
        if remote.read(f"{WORK}/plain") != TEXT:
            raise LabError("what was decrypted is not what was encrypted")


def _verify(remote: Host, certificate: str, signature: str) -> str:
    remote.run(["openssl", "x509", "-pubkey", "-noout", "-in", certificate, "-out", "public.pem"], folder=WORK)
    verify = ["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", signature, "text"]
    return f"openssl: {remote.run(verify, folder=WORK).stdout.strip()}"


def _log_in(remote: Host, pem: str) -> None:
    remote.configure_pam_pkcs11("demo", ACCOUNT, pem)
    with step("PAM logs the account in: pam_pkcs11, asked by pamtester") as shown:
        done = remote.run(["pamtester", "-v", "demo", ACCOUNT, "authenticate"])
        shown += [line for line in (done.stdout + done.stderr).splitlines() if "PIN" in line or "success" in line]


def _pull(admin: Host, remote: Host, connection: Process) -> None:
    watcher = remote.start([BIN / "python", "-m", "demo.watch_readers"], folder=CHECKOUT)
    watcher.wait_for("inserted")
    with step("The card is pulled out on the admin's side: the remote's reader is empty") as shown:
        admin.run(["sh", "-c", f"mv {CARDS}/{ACCOUNT}* /root/"])
        watcher.wait_for("removed")
        shown.append("PC/SC on the remote: " + watcher.output.strip().splitlines()[-1])
        if connection.wait() != 4:
            raise LabError(connection.output)
        shown.append(connection.output.strip().splitlines()[-1])
    with step("sra connect has ended by itself"):
        wait_until(lambda: not connection.is_running, "sra connect to end", 5)


if __name__ == "__main__":
    main()
