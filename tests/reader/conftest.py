import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reader.machine import READER, Application, Machine


@pytest.fixture(scope="module")
def _driver() -> None:
    # One make at a time, in however many processes the tests run.
    subprocess.run(["flock", READER, "make", "-s", "-C", READER, "all"], check=True)


@pytest.fixture
def idle_machine(_driver: None) -> Iterator[Machine]:
    # Not below pytest's folder: the path of a UNIX socket has 107 bytes.
    machine = Machine(Path(tempfile.mkdtemp(prefix="sra-reader-", dir="/tmp")))
    try:
        yield machine
    finally:
        machine.clean_up()


@pytest.fixture
def machine(idle_machine: Machine) -> Machine:
    idle_machine.start_pcscd()
    return idle_machine


@pytest.fixture
def application(machine: Machine) -> Application:
    return machine.application()
