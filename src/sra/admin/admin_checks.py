"""What ``sra doctor`` looks at on an admin's machine, and of a remote from there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sra.cards.choose import card_backends, chosen_modules, find_cards
from sra.checks import Check, WrongError
from sra.config import load_admin_config
from sra.errors import RefusalCode, RefusedError, UntrustedRemoteError
from sra.identity.x509_reading import fingerprint
from sra.paths import AdminPaths
from sra.system import machine
from sra.transport import probe as handshakes
from sra.transport.known_remotes import Address, KnownRemotes
from sra.transport.tls_trust import TrustPolicy
from sra.wire.messages import VERSIONS


@dataclass(frozen=True)
class Admin:
    """This admin's machine."""

    paths: AdminPaths
    cards_dir: Path


def _settings(admin: Admin) -> str:
    load_admin_config(admin.paths.config)
    return str(admin.paths.folder)


def _cards(admin: Admin) -> str:
    modules = chosen_modules(load_admin_config(admin.paths.config).pkcs11_modules, None)
    listings = asyncio.run(find_cards(card_backends(admin.cards_dir, modules)))
    usable = [listing.name for listing in listings if not listing.problem]
    if not usable:
        raise WrongError(" ".join(listing.problem for listing in listings) or "There is no card.")
    return ", ".join(usable)


def _known(admin: Admin) -> str:
    return f"{len(KnownRemotes(admin.paths.known_remotes).all())} are remembered"


def _versions(_: Admin) -> str:
    return ", ".join(f"{name} {version}" for name, version in machine.versions().items())


CHECKS: tuple[Check[Admin], ...] = (
    Check("settings", _settings),
    Check("cards", _cards, lambda _: "sra cards"),
    Check("remotes", _known),
    Check("versions", _versions),
)


@dataclass(frozen=True)
class Target:
    """A remote as it is seen from here; it is asked once."""

    address: Address
    paths: AdminPaths

    @cached_property
    def shown(self) -> tuple[str, bytes]:
        """Its version of TLS, and its certificate (DER)."""
        return handshakes.tls(self.address.host, self.address.port)

    @cached_property
    def answer(self) -> RefusedError:
        """What it answers to a question without a card."""
        return asyncio.run(handshakes.refusal(self.address.host, self.address.port))


def _reached(target: Target) -> str:
    return f"{handshakes.tcp(target.address.host, target.address.port)} answers"


def _tls(target: Target) -> str:
    return target.shown[0]


def _fingerprint(target: Target) -> str:
    _, certificate = target.shown
    config = load_admin_config(target.paths.config)
    policy = TrustPolicy(KnownRemotes(target.paths.known_remotes), lambda _, __: False)
    if config.ca_file:
        return f"{fingerprint(certificate)}; {config.ca_file} decides"
    try:
        policy.check(target.address.host, target.address.port, certificate)
    except UntrustedRemoteError:
        return f"{fingerprint(certificate)} is new here; “sra connect” asks"
    return f"{fingerprint(certificate)} is remembered"


def _protocol(target: Target) -> str:
    if target.answer.code is RefusalCode.VERSION:
        raise target.answer
    return f"version {max(VERSIONS)}"


def _license(target: Target) -> str:
    if target.answer.code is not RefusalCode.CERTIFICATE:
        raise target.answer
    return "it has one that holds"


OF_A_REMOTE: tuple[Check[Target], ...] = (
    Check("reached", _reached, lambda target: f"sra doctor  (on {target.address.host}, as root)"),
    Check("TLS", _tls, lambda target: f"sra doctor  (on {target.address.host}, as root)"),
    Check("fingerprint", _fingerprint, lambda target: f"sra trust forget {target.address}"),
    Check("protocol", _protocol),
    Check("license", _license, lambda target: f"sra license install FILE  (on {target.address.host}, as root)"),
)
"""Each rests on the one before: after the first that is wrong, the others are not tried."""
