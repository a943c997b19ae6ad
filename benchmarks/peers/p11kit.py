"""p11-kit's PKCS#11 remoting, with SoftHSM as the card.

``p11-kit server`` is on the admin's side; ``p11-kit-client.so`` on the remote's side reaches its socket through the
proxy (as it would through a forwarded UNIX socket).
"""

from __future__ import annotations

from benchmarks.keys import KEY_ID, PIN, Credential, KeyKind, PrivateKey, make_credential, make_key, private_pem
from benchmarks.links import start_proxy
from benchmarks.measure import CardTime, Meter, Plan, Results
from benchmarks.operations import Pkcs11Operations, median_signature
from benchmarks.world import ROOT, World

NAME = "p11-kit"
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
CLIENT = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so"
SERVER_SOCKET, FRONT_SOCKET = ROOT / "p11-server", ROOT / "p11-front"


def measure(world: World, plan: Plan, kind: KeyKind) -> Results:
    """All operations with RSA; the signatures only with P-256."""
    key = make_key(kind)
    credential = make_credential(key)
    make_token(world, key, credential)
    world.start(
        *("p11-kit", "server", "--foreground", "--name", str(SERVER_SOCKET), "--provider", SOFTHSM, "pkcs11:"),
        ready=SERVER_SOCKET.exists,
    )
    control = start_proxy(world, f"unix:{FRONT_SOCKET}", f"unix:{SERVER_SOCKET}")
    world.environment["P11_KIT_SERVER_ADDRESS"] = f"unix:path={FRONT_SOCKET}"
    operations = Pkcs11Operations(world, Meter(plan, NAME, kind, control), CLIENT, kind)
    cells = operations.measure_all(credential) if kind is KeyKind.RSA_2048 else operations.measure_signatures()
    return Results(tuple(cells), (CardTime("SoftHSM", kind, median_signature(world, SOFTHSM, kind)),))


def make_token(world: World, key: PrivateKey, credential: Credential) -> None:
    """A SoftHSM token that holds the card's key and certificate."""
    folder = ROOT / "softhsm"
    (folder / "tokens").mkdir(parents=True)
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    world.environment["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    world.call("softhsm2-util", "--init-token", "--free", "--label", "bench", "--so-pin", PIN, "--pin", PIN)
    key_file, certificate = folder / "key.pem", folder / "certificate.der"
    key_file.write_bytes(private_pem(key))
    certificate.write_bytes(credential.der())
    world.call(
        *(
            "softhsm2-util",
            "--import",
            str(key_file),
            "--token",
            "bench",
            "--label",
            "key",
            "--id",
            KEY_ID,
            "--pin",
            PIN,
        )
    )
    world.call(
        *("pkcs11-tool", "--module", SOFTHSM, "--token-label", "bench", "--login", "--pin", PIN),
        *("--write-object", str(certificate), "--type", "cert", "--id", KEY_ID, "--label", "certificate"),
    )
