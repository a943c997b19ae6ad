"""The clothes in which a hostile remote asks for the signature that would be a proof of who the admin is."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric import rsa

from sra.identity import challenges
from sra.identity.certificates import CardCertificate
from sra.identity.challenges import SHORT_TAG, TAG
from sra.piv.keys import Algorithm, KeyRequest, Operation, Slot

DIGEST_INFOS = {
    32: bytes.fromhex("3031300d060960864801650304020105000420"),
    48: bytes.fromhex("3041300d060960864801650304020205000430"),
    64: bytes.fromhex("3051300d060960864801650304020305000440"),
}


def disguises(card: CardCertificate, statement: bytes) -> dict[str, KeyRequest]:
    """Requests by what they try; the statement is what another machine wants to see proven."""
    key = card.public_key
    made = _rsa(card, key, statement) if isinstance(key, rsa.RSAPublicKey) else _ec(card, statement)
    return {
        name: KeyRequest(Slot.AUTHENTICATION, card.algorithm, Operation.SIGN, block) for name, block in made.items()
    } | (_elsewhere(card, statement))


def honest_signature(algorithm: Algorithm, digest: bytes) -> KeyRequest:
    """What any program may ask for: the signature of a SHA-256 digest."""
    block = _pkcs1(algorithm.size, DIGEST_INFOS[32] + digest) if algorithm.is_rsa else digest
    return KeyRequest(Slot.AUTHENTICATION, algorithm, Operation.SIGN, block)


def _pkcs1(size: int, content: bytes) -> bytes:
    return b"\x00\x01" + b"\xff" * (size - 3 - len(content)) + b"\x00" + content


def _rsa(card: CardCertificate, key: rsa.RSAPublicKey, statement: bytes) -> dict[str, bytes]:
    size = card.algorithm.size
    plain = challenges.key_request(card.algorithm, statement).input
    numbers = key.public_numbers()
    tagged = {32: SHORT_TAG + statement[:24], 48: TAG + statement, 64: TAG + statement + bytes(16)}
    blind = pow(secrets.randbelow(numbers.n), numbers.e, numbers.n) * int.from_bytes(plain, "big") % numbers.n
    short = b"\x00\x01" + b"\xff" * 8 + b"\x00" + TAG + statement
    return {
        "the challenge itself": plain,
        **{f"as a digest of {length} bytes": _pkcs1(size, DIGEST_INFOS[length] + tagged[length]) for length in tagged},
        "as a digest with something behind it": _pkcs1(size, DIGEST_INFOS[32] + statement + b"\x00"),
        "as a digest of no known kind": _pkcs1(size, DIGEST_INFOS[32][:-1] + b"\x30" + TAG + statement),
        "with the padding of an encryption": b"\x00\x02" + plain[2:],
        "with too little padding": short + secrets.token_bytes(size - len(short)),
        "without padding": bytes(size - 48) + TAG + statement,
        "blinded": blind.to_bytes(size, "big"),
        "turned round": (numbers.n - int.from_bytes(plain, "big")).to_bytes(size, "big"),
        "with the end of a PSS block": plain[:-1] + b"\xbc",
        "cut short": plain[1:],
    }


def _ec(card: CardCertificate, statement: bytes) -> dict[str, bytes]:
    plain = challenges.key_request(card.algorithm, statement).input
    return {
        "the challenge itself": plain,
        **{f"as {length} bytes of it": plain[:length] for length in (20, 28, 31)},
        "with something before it": b"\x00" + plain[:-1],
        "longer than the key": plain + bytes(16),
        "as nothing": b"",
    }


def _elsewhere(card: CardCertificate, statement: bytes) -> dict[str, KeyRequest]:
    """With other keys, for other purposes, as another algorithm."""
    plain = challenges.key_request(card.algorithm, statement).input
    other = Algorithm.P384 if card.algorithm is not Algorithm.P384 else Algorithm.P256
    return {
        "as a decryption by the same key": KeyRequest(Slot.AUTHENTICATION, card.algorithm, Operation.DECRYPT, plain),
        "as a derivation": KeyRequest(Slot.AUTHENTICATION, card.algorithm, Operation.DERIVE, plain),
        "as another algorithm": KeyRequest(Slot.AUTHENTICATION, other, Operation.SIGN, plain[: other.size]),
        "by a key that is not inserted": KeyRequest(Slot.CARD_AUTHENTICATION, card.algorithm, Operation.SIGN, plain),
        "signed by the key that decrypts": KeyRequest(Slot.KEY_MANAGEMENT, card.algorithm, Operation.SIGN, plain),
    }
