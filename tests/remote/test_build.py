import asyncio
import json
import plistlib
from pathlib import Path

import pytest

from sra.config import AccountsConfig, DirectoryConfig, directory_address, load_daemon_config
from sra.errors import RefusalCode, UsageError
from sra.paths import Paths
from sra.remote.accounts.ldap_connection import Server
from sra.remote.build import open_directory, open_finder
from tests.remote.accounts.issuing import Authority, principal

AUTHORITY = Authority()
CARD = AUTHORITY.issue(names=[principal("daemon@example.com")]).card
DIRECTORY = 'servers = ["ldaps://ldap.example.com"]\nbase = "dc=example,dc=com"\n'


def load(root: Path, text: str) -> AccountsConfig:
    path = Paths(root).config
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return load_daemon_config(path).accounts


def test_without_settings_everybody_may_come_who_is_paired(tmp_path: Path) -> None:
    assert load(tmp_path, "") == AccountsConfig(allow=None, deny=(), ldap=None)


def test_everything_can_be_set(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        '[accounts]\nallow = ["alice", "@staff"]\ndeny = ["@domain guests"]\n[accounts.ldap]\n' + DIRECTORY
        + 'ca_file = "/a"\nbind_dn = "cn=b"\npassword_file = "/c"\naccount_attribute = "sAMAccountName"\n'
        "by_certificate = true\nconnect_seconds = 1\nsearch_seconds = 2\ncache_seconds = 0\nunknown_seconds = 4\n",
    )  # fmt: skip
    assert (config.allow, config.deny) == (("alice", "@staff"), ("@domain guests",))
    assert config.ldap == DirectoryConfig(
        ("ldaps://ldap.example.com",), "dc=example,dc=com", "/a", "cn=b", "/c", "sAMAccountName", True, 1, 2, 0, 4
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("allow = []", "would let nobody in"),
        ('allow = [""]', "neither an account nor a @group"),
        ('deny = ["@"]', "neither an account nor a @group"),
        ('deny = ["alice "]', "neither an account nor a @group"),
        ('denied = ["alice"]', "denied"),
        ("[accounts.ldap]\n" + DIRECTORY.replace("ldaps:", "http:"), "write ldaps://HOST"),
        ("[accounts.ldap]\n" + DIRECTORY.replace("ldaps:", "ldapi:"), "write ldaps://HOST"),
        ("[accounts.ldap]\nservers = []\nbase = 'dc=x'", "at least one"),
        ("[accounts.ldap]\nservers = ['ldaps://x']", "base"),
        ("[accounts.ldap]\n" + DIRECTORY + "bind_dn = 'cn=b'", "go together"),
        ("[accounts.ldap]\n" + DIRECTORY + "account_attribute = 'uid)'", "name of an attribute"),
        ("[accounts.ldap]\n" + DIRECTORY + "search_seconds = 0", "search_seconds"),
        ("[accounts.ldap]\n" + DIRECTORY + "verify = false", "verify"),
    ],
)
def test_what_can_not_be_meant_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=rf"srad\.toml: .*{reason}"):
        load(tmp_path, f"[accounts]\n{text}")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ldap://a", ("a", 389, False)),
        ("ldaps://a", ("a", 636, True)),
        ("ldap://a.b:1389", ("a.b", 1389, False)),
        ("ldaps://[::1]:1636", ("::1", 1636, True)),
    ],
)
def test_a_server_is_a_host_and_a_port(url: str, address: tuple[str, int, bool]) -> None:
    assert directory_address(url) == address
    assert str(Server(*address)).startswith(url)


@pytest.mark.parametrize(
    "url",
    ["", "a", "ldap://", "ldap:///dc=x", "ldap://a/dc=x", "ldap://a?x", "ldap://u:p@a", "ldap://a:x", "ldap://a:99999"],
)
def test_anything_else_is_no_server(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        directory_address(url)


def test_a_directory_without_its_authority_is_not_asked(tmp_path: Path) -> None:
    config = DirectoryConfig(("ldaps://a",), "dc=x", ca_file=str(tmp_path / "missing.pem"))
    with pytest.raises(UsageError, match=r"missing\.pem"):
        open_directory(config)


def test_the_parts_are_put_together_from_the_files_of_the_root(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.trust.mkdir(parents=True)
    AUTHORITY.own.write(paths.trust, "authority")
    mapping = {
        "fields": ["NT Principal Name"],
        "formatString": "$1",
        "dsAttributeString": "dsAttrTypeNative:userPrincipalName",
    }
    paths.attribute_mapping.write_bytes(plistlib.dumps({"AttributeMapping": mapping}))
    paths.attributes.write_text('[daemon]\nuserPrincipalName = ["daemon@example.com"]\n')
    refused = asyncio.run(open_finder(paths, AccountsConfig(), "remote").explain(CARD)).refusal
    assert refused is not None
    assert refused.code is RefusalCode.NOT_ALLOWED
    allowing = open_finder(paths, load(tmp_path, f"accounts.allow = {json.dumps(['daemon'])}"), "remote")
    assert asyncio.run(allowing.find_account(CARD)) == "daemon"
    denying = open_finder(paths, AccountsConfig(allow=("daemon",), deny=("@daemon",)), "remote")
    refused = asyncio.run(denying.explain(CARD)).refusal
    assert refused is not None
    assert "The account daemon may not come in on remote." in refused.text
