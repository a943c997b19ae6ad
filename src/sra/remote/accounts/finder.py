"""Which account a card opens: the rules in their order, and what each of them found.

The attribute mapping goes first, then the directory's certificates, then the pairings by key, as on macOS; then the
account has to exist on this machine and may have to be allowed. Any uncertainty lets nobody in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.hashes import SHA256

from sra.errors import RefusalCode, RefusedError, SraError, UsageError
from sra.identity.authorities import Authorities
from sra.identity.certificates import CardCertificate
from sra.identity.policy import CertificatePolicy
from sra.identity.usage import check_purpose, check_usage, says_its_use
from sra.logs import clean
from sra.remote.accounts.account_rules import ANYBODY, AccountRules
from sra.remote.accounts.attribute_mapping import NOTHING, AttributeMapping, SmartcardLogin, wanted_value
from sra.remote.accounts.directory import (
    FIRST_PERSON,
    Accounts,
    CertificateDirectory,
    Directory,
    DirectoryError,
    LocalAccount,
    find_local,
)
from sra.remote.accounts.pairing import LookupStep, PairingStore
from sra.remote.accounts.watched_file import WatchedFile

FindAuthorities = Callable[[CardCertificate], frozenset[str]]
"""The SHA-256 (small hex) of the authorities on the path from a card to a trusted one, that one included.

Raises ``RefusedError`` that says why there is none.
"""

DECISION_SECONDS = 9.0
"""Seconds for all rules: the admin waits 30 for its Welcome, and the certificate policy may have used 20."""

MAX_SHOWN = 400
"""Characters of a value in a finding."""

log = logging.getLogger("sra.accounts")


def _no_authority(_: CardCertificate) -> frozenset[str]:
    raise RefusedError(RefusalCode.UNTRUSTED, "This remote trusts no authority.")


@dataclass(frozen=True)
class Decision:
    """The account, or the refusal, and every step that led to it."""

    findings: tuple[LookupStep, ...]
    account: str = ""
    refusal: RefusedError | None = None


@dataclass(frozen=True)
class _Lookup:
    """A card, and the findings of the rules that were applied to it."""

    card: CardCertificate
    findings: list[LookupStep] = field(default_factory=list)

    def note(self, rule: str, outcome: object) -> None:
        self.findings.append(LookupStep(rule, clean(str(outcome), MAX_SHOWN)))


@dataclass(frozen=True)
class AccountFinder:
    """Finds the account of a card on the machine ``host``.

    ``directories`` are asked in order until one knows the value. A name in a certificate counts only if ``vouching``
    finds an authority: without one, every user can write any name into a certificate.
    """

    host: str
    pairings: PairingStore
    login: WatchedFile[SmartcardLogin] | None = None
    directories: tuple[Directory, ...] = ()
    certificates: tuple[CertificateDirectory, ...] = ()
    vouching: FindAuthorities = _no_authority
    rules: AccountRules = ANYBODY

    async def find_account(self, card: CardCertificate) -> str:
        """The account that the card opens, or ``RefusedError``.

        ``NOT_PAIRED``: the card has no account, or several; ``NOT_ALLOWED``: the account may not come in;
        ``UNTRUSTED``: no required authority vouches for it; ``INTERNAL``: a file or a directory can't be read, and the
        log says which.
        """
        decision = await self.explain(card)
        if decision.refusal is not None:
            raise decision.refusal
        return decision.account

    async def explain(self, card: CardCertificate) -> Decision:
        """As ``find_account``, with the outcome of each rule."""
        lookup = _Lookup(card)
        try:
            async with asyncio.timeout(DECISION_SECONDS):
                account = await self._decide(lookup)
        except RefusedError as error:
            return Decision(tuple(lookup.findings), refusal=error)
        except TimeoutError:
            slow = DirectoryError(
                f"nothing was decided within {DECISION_SECONDS} s: a directory or a name service hangs"
            )
            refusal = self._directory_down(lookup, "time", slow)
            return Decision(tuple(lookup.findings), refusal=refusal)
        return Decision(tuple(lookup.findings), account)

    async def _decide(self, lookup: _Lookup) -> str:
        """The rules from top to bottom."""
        login = self._read_login(lookup)
        self._check_authorities(lookup, login)
        found = await self._by_attribute(lookup, login.mapping) if login.mapping else None
        found = found or await self._by_certificate(lookup)
        account = await self._existing(lookup, found or self._by_key(lookup))
        await self._check_rules(lookup, account, is_explicit=found is None)
        return account.name

    def _read_login(self, lookup: _Lookup) -> SmartcardLogin:
        if self.login is None:
            return NOTHING
        try:
            return self.login.current()
        except SraError as error:
            raise self._broken(lookup, "attribute mapping", error, f"The attribute mapping of {self.host}") from error

    def _check_authorities(self, lookup: _Lookup, login: SmartcardLogin) -> None:
        """With ``TrustedAuthorities``, one of them has to vouch for every card, even a paired one."""
        if login.authorities is None:
            return
        try:
            vouching = self.vouching(lookup.card)
        except RefusedError as error:
            lookup.note("trusted authorities", error)
            raise
        if vouching.isdisjoint(login.authorities):
            lookup.note("trusted authorities", f"none of the {len(login.authorities)} listed ones vouches for it")
            text = f"The card's certificate comes from an authority that may not issue cards for {self.host}."
            raise RefusedError(RefusalCode.UNTRUSTED, text)
        lookup.note("trusted authorities", "a listed one vouches for it")

    async def _by_attribute(self, lookup: _Lookup, mapping: AttributeMapping) -> str | None:
        """The account whose attribute has the value made of the certificate's names."""
        wanted = wanted_value(mapping, lookup.card)
        rule = f"attribute {wanted.attribute}"
        if not self._says_its_use(lookup, rule) or not self._is_vouched_for(lookup, rule):
            return None
        if wanted.missing:
            lookup.note(rule, f"not used: {'; '.join(wanted.missing)}")
            return None
        for directory in self.directories:
            step = f"{rule} in {directory.name}"
            try:
                accounts = await directory.find(wanted.attribute, wanted.value)
            except SraError as error:
                raise self._directory_down(lookup, step, error) from error
            lookup.note(step, f"“{wanted.value}”: {_said(accounts)}")
            if accounts:
                return self._only(accounts)
        return None

    async def _by_certificate(self, lookup: _Lookup) -> str | None:
        """The account that a directory has for this certificate."""
        for directory in self.certificates:
            step = f"certificate in {directory.name}"
            if not self._says_its_use(lookup, step):
                continue
            if directory.goes_by_names and not self._is_vouched_for(lookup, step):
                continue
            try:
                accounts = await directory.find_certificate(lookup.card)
            except SraError as error:
                raise self._directory_down(lookup, step, error) from error
            lookup.note(step, _said(accounts))
            if accounts:
                return self._only(accounts)
        return None

    def _says_its_use(self, lookup: _Lookup, rule: str) -> bool:
        """A directory has certificates of every slot, and a key that decrypts for remotes must open no account.

        A pairing is not checked: root has chosen it.
        """
        if says_its_use(lookup.card):
            return True
        lookup.note(
            rule,
            "not used: the certificate does not say what its key is for (no key usage), so it may be for decryption",
        )
        return False

    def _is_vouched_for(self, lookup: _Lookup, rule: str) -> bool:
        try:
            self.vouching(lookup.card)
        except RefusedError as error:
            lookup.note(rule, f"not used, since no authority vouches for the names in the certificate: {error}")
            return False
        return True

    def _by_key(self, lookup: _Lookup) -> str:
        try:
            lookup.findings.extend(self.pairings.explain(lookup.card))
        except SraError as error:
            lookup.note("pairing", error)
        return self.pairings.find_account(lookup.card)

    async def _existing(self, lookup: _Lookup, name: str) -> LocalAccount:
        """The account on this machine; looked up in a thread, since name services may ask servers."""
        try:
            return await asyncio.to_thread(find_local, name)
        except UsageError as error:
            lookup.note("account", error)
            log.warning("a card belongs to %s, which is no account of this machine", name)
            text = f"The account of this card does not exist on {self.host}. Ask its administrator."
            raise RefusedError(RefusalCode.NOT_PAIRED, text) from error

    async def _check_rules(self, lookup: _Lookup, account: LocalAccount, *, is_explicit: bool) -> None:
        """Raise ``RefusedError`` unless the account may come in; ``is_explicit``: root paired it on this machine.

        Without the rule about system accounts, an administrator of a directory could become root of every machine.
        """
        if not is_explicit and account.uid < FIRST_PERSON and not self.rules.names(account.name):
            lookup.note("allow and deny", f"{account.name} is a system account: only “allow” lets a directory open it")
            raise self._not_allowed(account)
        try:
            verdict = await asyncio.to_thread(self.rules.judge, account.name)
        except (SraError, KeyError, OSError) as error:
            raise self._broken(lookup, "allow and deny", error, f"Who may come in on {self.host}") from error
        lookup.note("allow and deny", f"{'may' if verdict.is_allowed else 'may not'} come in: {verdict.reason}")
        if not verdict.is_allowed:
            raise self._not_allowed(account)

    def _only(self, accounts: Accounts) -> str:
        if len(accounts) == 1:
            return min(accounts)
        log.error("one card belongs to %s: nobody gets in with it", _said(accounts))
        text = f"This card belongs to more than one account on {self.host}. Ask its administrator."
        raise RefusedError(RefusalCode.NOT_PAIRED, text)

    def _not_allowed(self, account: LocalAccount) -> RefusedError:
        text = f"The account {account.name} may not come in on {self.host}. Its administrator can allow it."
        return RefusedError(RefusalCode.NOT_ALLOWED, text)

    def _broken(self, lookup: _Lookup, rule: str, error: Exception, what: str) -> RefusedError:
        lookup.note(rule, error)
        log.error("nobody gets in: %s", error)
        text = f"{what} can't be read. Its administrator finds the reason in its log."
        return RefusedError(RefusalCode.INTERNAL, text)

    def _directory_down(self, lookup: _Lookup, step: str, error: SraError) -> RefusedError:
        lookup.note(step, error)
        log.error("no user gets in whose account is in a directory: %s", error)
        text = f"The directory that knows the accounts of {self.host} can't be asked at the moment. Try again later."
        return RefusedError(RefusalCode.INTERNAL, text)


def _said(accounts: Accounts) -> str:
    return " and ".join(sorted(accounts)) or "nobody"


@dataclass(frozen=True)
class Vouching:
    """Finds the authorities that vouch for a card.

    ``authorities`` returns those that this machine trusts now, ``now`` the time at which they have to be valid.

    This is required for names whatever the certificate policy is: where a paired key is enough, a name is not.
    """

    authorities: Callable[[], Authorities]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __call__(self, card: CardCertificate) -> frozenset[str]:
        """The SHA-256 (small hex) of the authorities on the card's path, the trusted one included.

        Raises ``RefusedError`` if there is no path, or the certificate is not for authentication.
        """
        check_purpose(card, CertificatePolicy())
        path = self.authorities().path(card, self.now()).certificates
        check_usage(path, CertificatePolicy())
        return frozenset(authority.fingerprint(SHA256()).hex() for authority in path[1:])
