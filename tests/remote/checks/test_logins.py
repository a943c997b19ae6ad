"""What ``sra doctor`` says of logins that take the card: each thing by which they go is looked at."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sra import checks
from sra.checks import Finding
from sra.paths import Paths
from sra.remote.checks.logins import DirectModule, direct_modules
from sra.remote.checks.remote_checks import CHECKS, CheckedRemote
from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.stacks import mark_of
from tests.cli.login_machine import ACCOUNT, make_card, make_machine, run

OURS = "/usr/lib/secure-remote-access/sra-opensc.so"

OPENSC = "/usr/lib/opensc-pkcs11.so"

STACKS = {
    "by our settings": ({"su": "auth [success=1 default=ignore] pam_pkcs11.so config_file=/etc/ours.conf\n"}, None),
    "by the owner's": ({"su": "auth sufficient pam_pkcs11.so\n"}, "default.conf"),
    "by a stack that it includes": (
        {"su": "@include common-auth\n", "common-auth": "auth required pam_pkcs11.so\n"},
        "d",
    ),
    "by a substack": ({"su": "auth substack x\n", "x": "-auth required /lib/security/pam_pkcs11.so\n"}, "default.conf"),
    "by two lines": ({"su": "auth \\\n required pam_pkcs11.so \\\n debug\n"}, "default.conf"),
    "by pam_p11": ({"su": f"auth required pam_p11.so {OPENSC}\n"}, "su"),
    "in a comment": ({"su": "#sra# auth required pam_pkcs11.so\n"}, None),
    "of a program without set-user-ID": ({"lightdm": "auth required pam_pkcs11.so\n"}, None),
    "by one that includes itself": ({"su": "@include su\n"}, None),
}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    root = make_machine(tmp_path / "machine")
    assert run(root, "pair", ACCOUNT, "--certificate", str(make_card(tmp_path / "card"))) == 0
    return root


def findings(machine: Path) -> list[Finding]:
    return checks.run([each for each in CHECKS if each.name == "logins"], CheckedRemote(Paths(machine)))


def test_nothing_where_no_login_takes_the_card(machine: Path) -> None:
    assert findings(machine) == []


def test_the_services_that_take_it_where_all_is_right(machine: Path) -> None:
    assert run(machine, "pam", "enable", "su", "login") == 0
    assert findings(machine) == [Finding("logins", True, "login: card or password, su: card or password")]


def _edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


AGAIN = "sra pam enable su"


WRONGS: dict[str, tuple[Callable[[LoginPaths], object], str, str]] = {
    "a module that is gone": (
        lambda login: next(login.root.rglob("opensc-pkcs11.so")).unlink(), "Missing for the login", AGAIN,
    ),
    "a stack that was edited": (
        lambda login: _edit(login.stacks / "su", "default=die", "default=bad"), "edited by hand", "editor {stacks}/su",
    ),
    "a mapping that was emptied": (lambda login: login.mapping.write_text("#\n"), "does not match the pair", AGAIN),
    "a mapping that maps another": (
        lambda login: _edit(login.mapping, "-> root", "-> nobody"), "does not match the pairings", AGAIN,
    ),
    "a policy without a signature": (
        lambda login: _edit(login.configuration, "cert_policy = signature", "cert_policy = none"),
        "cert_policy is none; the policy needs signature", "editor {configuration}",
    ),
    "no policy": (
        lambda login: _edit(login.configuration, "cert_policy", "# cert_policy"), "cert_policy is missing",
        "editor {configuration}",
    ),
    "a policy that has changed since": (
        lambda login: Paths(login.root).config.write_text('[policy]\ncertificates = "ca"\n'),
        "cert_policy is signature; the policy needs ca,signature", AGAIN,
    ),
    "a folder that is closed": (lambda login: login.ours.chmod(0o750), "Not every user can read", "chmod go+rX {ours}"),
    "a file that is closed": (
        lambda login: login.mapping.chmod(0o640), "Not every user can read", "chmod go+rX {mapping}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONGS)
def test_what_is_wrong_is_found_with_what_mends_it(machine: Path, what: str) -> None:
    breaks, said, command = WRONGS[what]
    login = LoginPaths(machine)
    assert run(machine, "pam", "enable", "su") == 0
    breaks(login)
    (found,) = findings(machine)
    places = {name: getattr(login, name) for name in ("stacks", "configuration", "ours", "mapping")}
    assert (found.ok, found.command) == (False, command.format(**places))
    assert said in found.text


def test_a_stack_of_an_older_version_that_asks_for_logins_from_afar_too_is_named(machine: Path) -> None:
    login = LoginPaths(machine)
    assert run(machine, "pam", "enable", "su") == 0
    stack = login.stacks / "su"
    lines = stack.read_text().split("\n")
    begin = next(at for at, line in enumerate(lines) if line.startswith("# >>> sra pam"))
    del lines[begin + 1]
    inner = lines[begin + 1 : next(at for at, line in enumerate(lines) if line.startswith("# <<< sra pam"))]
    kept = [line.removeprefix("#sra# ") for line in lines if line.startswith("#sra# ")]
    lines[begin] = f"{lines[begin].rpartition(' ')[0]} {mark_of([*inner, *kept])}"
    stack.write_text("\n".join(lines))
    (found,) = findings(machine)
    assert (found.ok, found.command) == (False, AGAIN)
    assert "older version" in found.text
    assert run(machine, "pam", "enable", "su") == 0
    assert [each.ok for each in findings(machine)] == [True]


def test_a_stack_by_which_users_become_root_is_named(machine: Path) -> None:
    """Also where no login of ours takes the card."""

    def looked_at() -> list[Finding]:
        return checks.run(
            [each for each in CHECKS if each.name == "programs with set-user-ID"], CheckedRemote(Paths(machine))
        )

    assert looked_at() == []
    assert run(machine, "pam", "enable", "login") == 0
    assert [each.ok for each in looked_at()] == [True]
    login = LoginPaths(machine)
    (login.stacks / "su").write_text("auth sufficient pam_pkcs11.so\n")
    login.default_configuration.write_text("  module = /usr/lib/opensc-pkcs11.so;\n")
    (found,) = looked_at()
    assert "Any user can become root: su loads /usr/lib/opensc-pkcs11.so" in found.text
    assert (found.ok, found.command) == (False, f"editor {login.default_configuration}")


@pytest.mark.parametrize("how", STACKS)
def test_a_module_past_ours_is_found(tmp_path: Path, how: str) -> None:
    files, named_in = STACKS[how]
    login = LoginPaths(tmp_path)
    login.stacks.mkdir(parents=True)
    login.ours.mkdir(parents=True)
    for name, text in files.items():
        (login.stacks / name).write_text(text)
    (tmp_path / "etc/ours.conf").write_text(f"pkcs11_module opensc {{\n  module = {OURS};\n}}\nmodule = internal;\n")
    login.default_configuration.write_text(f'pkcs11_module opensc {{\n  module = "{OPENSC}" ;\n}}\n')
    named = login.stacks / "su" if named_in == "su" else login.default_configuration
    expected = [] if named_in is None else [DirectModule("su", OPENSC, named)]
    assert direct_modules(login, OURS) == expected
