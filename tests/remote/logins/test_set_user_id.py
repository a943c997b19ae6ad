"""Which stacks would have a program with set-user-ID obey its caller."""

from pathlib import Path

import pytest

from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.set_user_id import DirectModule, direct_modules

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
