"""GENERAL AUTHENTICATE (SP 800-73-4 part 2, section 3.2.4): the one command that has a private key used.

Also what an error of it, or of any other command, is called in a status word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sra.errors import KeyMissingError, PinBlockedError, PinNeededError, RefusalCode, RefusedError, SraError
from sra.piv import tlv
from sra.piv.apdu import ApduError, Command, Response, Status, StatusError
from sra.piv.keys import Algorithm, KeyDescription, KeyRequest, Operation, PrivateKeys, purpose
from sra.piv.tlv import TlvError
from sra.remote.virtual_card.pin_commands import PinState

CARD_MANAGEMENT_KEY = 0x9B

_TEMPLATE = 0x7C
_CHALLENGE = 0x81
_RESPONSE = 0x82
_EXPONENTIATION = 0x85

_INPUT_FIELD = {
    Operation.SIGN: _CHALLENGE,
    Operation.DECRYPT: _CHALLENGE,
    Operation.DERIVE: _EXPONENTIATION,
}

_CHALLENGE_SIZES = {0x00: 8, 0x03: 8, 0x08: 16, 0x0A: 16, 0x0C: 16}
"""Block sizes of the management key's algorithms: 00 and 03 are Triple DES, the others AES (SP 800-78-5, table 9)."""

_UNCOMPRESSED = 0x04
_DER_OVERHEAD = 8
"""Bytes that DER adds to the two numbers of a signature, at most: three headers and two leading zeros."""

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


class KeyUse:
    """The inserted keys. Each well-formed use that the PIN allows is one question to ``private_keys``."""

    def __init__(
        self,
        keys: Iterable[KeyDescription],
        private_keys: PrivateKeys,
        pin: PinState,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._keys: dict[int, KeyDescription] = {key.slot: key for key in keys}
        self._private_keys = private_keys
        self._pin = pin
        self._random_bytes = random_bytes

    async def general_authenticate(self, command: Command) -> Response:
        """Sign, decrypt or derive with an inserted key; or random numbers, which cost no round trip."""
        template = tlv.fields(tlv.unwrap(_TEMPLATE, command.data))
        if command.p2 == CARD_MANAGEMENT_KEY:
            return self._challenge(command.p1, template)
        request = self._request(command, template)
        self._pin.use_for(self._keys[request.slot].pin_policy)
        try:
            reply = await self._private_keys.use_key(request)
        except SraError as error:
            if status_of(error) == Status.SECURITY_NOT_SATISFIED:  # the real card has forgotten the PIN: so do we
                self._pin.forget()
            raise
        return _response(_RESPONSE, _checked(reply.output, request))

    def _request(self, command: Command, template: dict[int, bytes]) -> KeyRequest:
        """The key use that a command asks for; raise ``StatusError`` if the key isn't there or is not for that."""
        key = self._keys.get(command.p2)
        if key is None or key.algorithm != command.p1:
            raise StatusError(Status.WRONG_PARAMETERS)
        operation = purpose(key.slot, key.algorithm)
        field = _INPUT_FIELD[operation]
        if template.keys() != {field, _RESPONSE} or template[_RESPONSE]:
            raise StatusError(Status.WRONG_DATA)
        if not _fits(template[field], key.algorithm, operation):
            raise StatusError(Status.WRONG_DATA)
        return KeyRequest(slot=key.slot, algorithm=key.algorithm, operation=operation, input=template[field])

    def _challenge(self, algorithm: int, template: dict[int, bytes]) -> Response:
        """A challenge for the management key, which is not there: OpenSC asks because it is a random number."""
        if algorithm not in _CHALLENGE_SIZES:
            raise StatusError(Status.WRONG_PARAMETERS)
        if template != {_CHALLENGE: b""}:
            raise StatusError(Status.SECURITY_NOT_SATISFIED)
        return _response(_CHALLENGE, self._random_bytes(_CHALLENGE_SIZES[algorithm]))


def _fits(data: bytes, algorithm: Algorithm, operation: Operation) -> bool:
    """Whether the input has the shape that ``KeyRequest`` promises."""
    if algorithm.is_rsa:
        return len(data) == algorithm.size
    if operation is Operation.DERIVE:
        return len(data) == 1 + 2 * algorithm.size and data[0] == _UNCOMPRESSED
    return 0 < len(data) <= algorithm.size


def _checked(output: bytes, request: KeyRequest) -> bytes:
    """The output, if it has the shape that ``KeyReply`` promises; raise ``StatusError`` 6F00 if not."""
    size = request.algorithm.size
    is_signature = not request.algorithm.is_rsa and request.operation is Operation.SIGN
    fits = _DER_OVERHEAD <= len(output) <= 2 * size + _DER_OVERHEAD if is_signature else len(output) == size
    if not fits:
        raise StatusError(Status.UNKNOWN_ERROR)
    return output


def _response(field: int, value: bytes) -> Response:
    return Response(tlv.encode(_TEMPLATE, tlv.encode(field, value)), Status.OK)


def status_of(error: Exception) -> int:
    """The status word for an error; 6F00 for one that the standard has no word for."""
    if isinstance(error, StatusError):
        return error.status
    if isinstance(error, RefusedError):
        return _REFUSALS.get(error.code, Status.CONDITIONS_NOT_SATISFIED)
    return next((status for kind, status in _ERRORS.items() if isinstance(error, kind)), Status.UNKNOWN_ERROR)
