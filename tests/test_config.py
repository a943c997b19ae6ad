from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.config import AdminConfig, ConnectionLimits, DaemonConfig, PolicyConfig, load_admin_config, load_daemon_config
from sra.errors import UsageError
from sra.paths import AdminPaths, Below, Paths, admin_paths


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "srad.toml"


def test_every_path_of_a_remote_hangs_on_its_root() -> None:
    paths = Paths(Path("/tmp/demo"))
    names = [name for name, value in vars(Paths).items() if isinstance(value, Below)]
    assert "pairings" in names
    for name in names:
        assert getattr(paths, name).is_relative_to(paths.root), name
    assert paths.reader(1).is_relative_to(paths.readers)


def test_the_default_root_is_the_machine() -> None:
    assert Paths().pairings == Path("/etc/sra/pairings.toml")
    assert Paths().local_secret == Path("/run/sra/local-secret")
    assert Paths().audit == Path("/var/log/sra/audit.jsonl")


def test_without_a_file_there_are_the_defaults(path: Path) -> None:
    config = load_daemon_config(path)
    assert config == DaemonConfig(("::", "0.0.0.0"), 4116, 4117, 2, 30, ConnectionLimits())
    assert (config.limits.unauthenticated, config.limits.per_address, config.limits.per_seconds) == (64, 20, 10)
    assert load_admin_config(path) == AdminConfig()


def test_what_is_set_replaces_the_default(path: Path) -> None:
    path.write_text('listen = ["127.0.0.1"]\nport = 0\nlocal_port = 0\n[limits]\nsessions = 3\n')
    assert load_daemon_config(path) == DaemonConfig(("127.0.0.1",), 0, 0, limits=ConnectionLimits(sessions=3))


@pytest.mark.parametrize("size", ["640x480", "1366x768", "7680x4320"])
def test_a_virtual_screen_has_a_size_that_one_can_use(path: Path, size: str) -> None:
    path.write_text(f'[screen]\nvirtual_size = "{size}"\n')
    assert load_daemon_config(path).screen.virtual_size == size


def test_the_policy_is_set_in_a_table_of_its_own(path: Path) -> None:
    path.write_text('[policy]\ncertificates = "ca+revocation"\npolicies = ["2.16.840.1"]\nask_ocsp = false\n')
    assert load_daemon_config(path).policy == PolicyConfig("ca+revocation", ("2.16.840.1",), ask_ocsp=False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("prot = 1", "unknown field `prot`"),
        ("[limits]\nsesions = 1", r"unknown field `sesions` - at `\$\.limits`"),
        ("port = 65536", r"<= 65535 - at `\$\.port`"),
        ("port = -1", r">= 0 - at `\$\.port`"),
        ("port = '4116'", "Expected `int`, got `str`"),
        ("port = true", "Expected `int`, got `bool`"),
        ("port = 4117", "port and local_port have to differ"),
        ("listen = []", "at least one address"),
        ("listen = ['localhost']", "does not appear to be an IPv4 or IPv6 address"),
        ("listen = '::'", "Expected `array`, got `str`"),
        ("readers = 0", ">= 1"),
        ("readers = 17", "<= 16"),
        ("pin_idle_seconds = 0", ">= 1"),
        ("[policy]\ncertificates = 'none'", r"Invalid enum value 'none' - at `\$\.policy\.certificates`"),
        ("[policy]\ncertificates = 'ca'\npolicies = ['high']", r"\$\.policy\.policies"),
        ("[policy]\ncertificates = 'ca'\nextended_key_usages = ['1.02']", r"\$\.policy\.extended_key_usages"),
        ("[policy]\npolicies = ['1.2.3']", "policies need certificates"),
        ("[policy]\nlists = 'relative'", "whole path"),
        ("[policy]\nmax_age_hours = 0", ">= 1"),
        ("[policy]\ntimeout_seconds = 16", "<= 15"),
        ("[screen]\nvirtual_size = '1920 x 1080'", r"\$\.screen\.virtual_size"),
        ('[screen]\nvirtual_size = "1920x1080\\n"', r"\$\.screen\.virtual_size"),
        ("[screen]\nvirtual_size = '639x480'", "between 640x480 and 7680x4320"),
        ("[screen]\nvirtual_size = '7680x4321'", "between 640x480 and 7680x4320"),
        ("[policy]\nrevocation = true", "unknown field `revocation`"),
        ("port = x\n", "at line 1"),
        ("port = 1\nport = 2\n", "at line 2"),
    ],
)
def test_a_mistake_is_named(path: Path, text: str, problem: str) -> None:
    path.write_text(text)
    with pytest.raises(UsageError, match=problem) as caught:
        load_daemon_config(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("data", [b"\xff", b"\0", b"x = " + b"[" * 5000, b" " * 300_000])
def test_a_file_that_is_something_else_is_named(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(UsageError, match=str(path)):
        load_daemon_config(path)


def test_a_file_that_others_may_write_sets_nothing(path: Path) -> None:
    path.touch()
    path.chmod(0o666)
    with pytest.raises(UsageError, match="chmod go-w"):
        load_daemon_config(path)


def test_the_admin_s_file_is_as_strict(path: Path) -> None:
    path.write_text('card = "software:alice"\n')
    assert load_admin_config(path) == AdminConfig(card="software:alice")
    path.write_text('cards = "software:alice"\n')
    with pytest.raises(UsageError, match="unknown field `cards`"):
        load_admin_config(path)


def test_the_admin_s_folder_is_the_given_one_then_the_environment_s_then_the_platform_s() -> None:
    environment = {"SRA_CONFIG_DIR": "/tmp/environment"}
    assert admin_paths(Path("/tmp/given"), environment) == AdminPaths(Path("/tmp/given"))
    assert admin_paths(None, environment) == AdminPaths(Path("/tmp/environment"))
    assert admin_paths(None, {}) == AdminPaths(platformdirs.user_config_path("sra", appauthor=False))
    assert admin_paths(None, {"SRA_CONFIG_DIR": ""}) == admin_paths(None, {})


def test_the_admin_s_files_are_in_that_folder() -> None:
    paths = AdminPaths(Path("/tmp/given"))
    for file in (paths.config, paths.known_remotes, paths.audit):
        assert file.parent == paths.folder


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_configuration_or_a_clear_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("config") / "srad.toml"
    path.write_bytes(data)
    try:
        load_daemon_config(path)
    except UsageError as error:
        assert str(path) in str(error)  # noqa: PT017 - both outcomes are right
