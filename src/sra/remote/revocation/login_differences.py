"""Where the programs of the login judge a card otherwise than srad: they refuse some that srad lets in, and none else.

They are given whole lists only, follow one path, and take a list for good only by the key that signed the card
(tests/paths_corpus shows it for each). What they refuse, nobody gets in by at the login; it should be no riddle.
"""

from __future__ import annotations

from collections.abc import Iterator

from sra.identity.x509_reading import comparable, public_bytes, shown
from sra.remote.revocation.export import is_whole
from sra.remote.revocation.trust_folder import TrustedCertificates


def login_differences(trusted: TrustedCertificates, *, needs_revocation: bool) -> tuple[str, ...]:
    """What in the folder of trust only srad makes use of, in sentences for people."""
    found = [*_certificates(trusted)]
    if needs_revocation:
        found += [*_lists(trusted), *_keys(trusted)]
    return tuple(dict.fromkeys(found))


def _certificates(trusted: TrustedCertificates) -> Iterator[str]:
    for each in trusted.authorities.all:
        named = trusted.authorities.finder.named(each.subject)
        if sum(public_bytes(other) == public_bytes(each) for other in named) > 1:
            name = shown(each.subject)
            yield f"“{name}” has several certificates here; the login tries one of them, srad all."


def _lists(trusted: TrustedCertificates) -> Iterator[str]:
    for each in trusted.lists:
        if each.base is not None:
            yield f"The login does not read {each.source}: a card stays on hold there until the whole list releases it."
        elif each.problem:
            yield f"The login does not read {each.source}: {each.problem}."
        elif not is_whole(each):
            yield f"The login does not read {each.source}, which is for some reasons only or indirect."


def _keys(trusted: TrustedCertificates) -> Iterator[str]:
    """Authorities with keys that have signed no list: the login takes no list of another key for one of theirs."""
    signing = {(comparable(each.issuer), public_bytes(signer)) for each in trusted.lists for signer in each.signers}
    listed = {name for name, _ in signing}
    for each in trusted.authorities.all:
        name = comparable(each.subject)
        if name in listed and (name, public_bytes(each)) not in signing:
            yield f"The lists of “{shown(each.subject)}” are signed by another of its keys, which the login refuses."
