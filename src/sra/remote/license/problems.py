"""What can be wrong with a license; each has a text of its own, and the admin who connects reads the same one."""

from __future__ import annotations

from enum import StrEnum

from sra.errors import RefusalCode, RefusedError


class LicenseProblem(StrEnum):
    """Why a license lets nobody in, the nearest to a valid one first."""

    EXPIRED = "expired"
    CLOCK_SET_BACK = "clock-set-back"
    NOT_YET_VALID = "not-yet-valid"
    OTHER_HOST = "other-host"
    OTHER_FEATURE = "other-feature"
    UNKNOWN_ISSUER = "unknown-issuer"
    BAD_SIGNATURE = "bad-signature"
    DAMAGED = "damaged"
    NONE = "none"


_INSTALL = "Its administrator installs {what} there: sra license install FILE"
_ONE, _NEW, _OWN = (_INSTALL.format(what=what) for what in ("one", "a new one", "one of its own"))

TEXTS = {
    LicenseProblem.NONE: f"{{host}} has no license, so nobody can connect to it. {_ONE}",
    LicenseProblem.EXPIRED: f"The license of {{host}} expired on {{ends}}. {_NEW}",
    LicenseProblem.CLOCK_SET_BACK: (
        f"The license of {{host}} expired on {{ends}}: the clock of that machine was set back since it showed {{now}}. "
        f"{_NEW}; or, if the clock was wrong then: sra license clock --accept"
    ),
    LicenseProblem.NOT_YET_VALID: (
        "The license of {host} is not valid before {begins}, and there it is {now}. "
        "Its administrator sets the clock, or waits."
    ),
    LicenseProblem.OTHER_HOST: f"The license on {{host}} is for other machines. {_OWN}",
    LicenseProblem.OTHER_FEATURE: f"The license of {{host}} does not include remote access. {_NEW}",
    LicenseProblem.UNKNOWN_ISSUER: (
        "The license of {host} is signed by nobody whom that machine trusts to issue one. "
        "Its administrator installs it with its issuer's key: sra license install FILE --issuer KEY"
    ),
    LicenseProblem.BAD_SIGNATURE: (
        f"The license of {{host}} is forged: its signature is not its issuer's, or it was changed afterwards. {_NEW}"
    ),
    LicenseProblem.DAMAGED: f"The license of {{host}} is damaged and can't be read. {_NEW}",
}
"""A stranger may read these: they name the machine and dates, but no customer and no file."""


class LicenseError(RefusedError):
    """There is no license that holds; ``detail`` is for who administers the remote, not for strangers."""

    def __init__(self, problem: LicenseProblem, host: str, detail: str = "", **facts: str) -> None:
        super().__init__(RefusalCode.LICENSE, TEXTS[problem].format(host=host, **facts))
        self.problem = problem
        self.detail = detail
