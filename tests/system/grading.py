"""What graders of TLS say about the remote's two ports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from lab.hosts import CHECKOUT, Host
from lab.product import SRA, start_remote

SSLYZE = CHECKOUT / ".venv/graders/bin/sslyze"
SETTINGS = "[limits]\nunauthenticated = 1000\nper_address = 100000\nper_second = 100000\n"
"""A grader makes hundreds of connections; how many a stranger may make is tested elsewhere."""
SELF_SIGNED = {"certificate_path_validation"}
"""What sslyze may flag, by Mozilla's “intermediate” settings: no authority vouches for a remote's identity."""
SELF_SIGNED_TESTSSL = {"cert_chain_of_trust", "cert_revocation", "cert_crlDistributionPoints", "cert_ocspURL"}
"""What testssl may flag: the same, and that there is nobody to ask whether it was revoked."""
NOT_OF_THE_SERVER = {"engine_problem", "service"}
"""What testssl says about itself."""


@contextmanager
def graded(remote: Host) -> Iterator[None]:
    """A remote with an identity as it makes it, which takes as many connections as a grader makes."""
    hosts = [word for name in (remote.name, remote.address, "127.0.0.1") for word in ("--host", name)]
    remote.run([SRA, "identity", "generate", *hosts])
    start_remote(remote, settings=SETTINGS)
    yield


def by_sslyze(host: Host, target: str) -> tuple[set[str], dict[str, str]]:
    """What is flagged, and what came of each scan."""
    said = host.run([SSLYZE, "--slow_connection", "--json_out=/run/sslyze.json", target], timeout=100, check=False)
    flagged = set(re.findall(r"^ +\* ([a-z_0-9]+): ", said.stdout.partition("COMPLIANCE AGAINST")[2], re.MULTILINE))
    (result,) = json.loads(host.read("/run/sslyze.json"))["server_scan_results"]
    return flagged, {name: scan["status"] for name, scan in result["scan_result"].items() if scan is not None}


def by_testssl(host: Host, target: str) -> dict[str, str]:
    """What is flagged, and what is said about it."""
    quiet = ["--quiet", "--warnings", "off", "--color", "0", "--nodns", "min", "--ip", "one"]
    host.run(["testssl", *quiet, "--jsonfile", "/run/testssl.json", target], timeout=900, check=False)
    found = json.loads(host.read("/run/testssl.json"))
    assert {"TLS1_3", "cert_chain_of_trust"} <= {each["id"] for each in found}
    return {
        each["id"]: f"{each['severity']}: {each['finding']}"
        for each in found
        if each["severity"] not in {"OK", "INFO"} and each["id"] not in NOT_OF_THE_SERVER
    }
