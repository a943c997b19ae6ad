"""What an error is called in a status word."""

from __future__ import annotations

from sra.errors import KeyMissingError, PinBlockedError, PinNeededError, RefusalCode, RefusedError
from sra.piv.apdu import ApduError, Status, StatusError
from sra.piv.tlv import TlvError

_REFUSALS: dict[RefusalCode, Status] = {
    RefusalCode.PIN_NEEDED: Status.SECURITY_NOT_SATISFIED,
    RefusalCode.TIMEOUT: Status.TIMED_OUT,
    RefusalCode.CARD: Status.UNKNOWN_ERROR,
    RefusalCode.INTERNAL: Status.UNKNOWN_ERROR,
}
"""Every other refusal is 6985: the conditions of use, which are the admin's, are not met."""

_ERRORS: dict[type[Exception], Status] = {
    ApduError: Status.WRONG_LENGTH,
    TlvError: Status.WRONG_DATA,
    PinNeededError: Status.SECURITY_NOT_SATISFIED,
    PinBlockedError: Status.PIN_BLOCKED,
    KeyMissingError: Status.REFERENCE_NOT_FOUND,
    TimeoutError: Status.TIMED_OUT,
}


def status_of(error: Exception) -> int:
    """The status word for an error; 6F00 for one that the standard has no word for."""
    if isinstance(error, StatusError):
        return error.status
    if isinstance(error, RefusedError):
        return _REFUSALS.get(error.code, Status.CONDITIONS_NOT_SATISFIED)
    return next((status for kind, status in _ERRORS.items() if isinstance(error, kind)), Status.UNKNOWN_ERROR)
