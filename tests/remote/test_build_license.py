import socket
import time
from pathlib import Path

from lab.licenses import a_license, files_of
from sra.paths import Paths
from sra.remote.build_license import issuers_folder, latest_time, open_licenses


def test_a_remote_s_license_is_found_below_its_root(tmp_path: Path) -> None:
    wanted = a_license(hosts=(socket.gethostname().lower(),))
    for name, text in files_of(wanted).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert open_licenses(Paths(tmp_path)).check(time.time()) == wanted
    assert list(issuers_folder(Paths(tmp_path)).iterdir()) == [tmp_path / "etc/sra/trust/license.d/lab.pem"]


def test_the_latest_time_is_part_of_the_state(tmp_path: Path) -> None:
    latest = latest_time(Paths(tmp_path))
    latest.accept(1_800_000_000)
    assert (tmp_path / "var/lib/sra/latest-time").read_text() == "2027-01-15T08:00:00+00:00"
