"""Which account a card opens: every rule in its order, and what each of them found.

The attribute mapping goes first, then the directory's certificates, then the pairings by key, as on macOS; then the
account has to be one of this machine that may come in. Whatever can't be known for certain lets nobody in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from sra.errors import RefusalCode, RefusedError, SraError, UsageError
from sra.identity.certificates import CardCertificate
from sra.identity.usage import says_its_use
from sra.logs import clean
from sra.remote.accounts.account_rules import ANYBODY, AccountRules
from sra.remote.accounts.attribute_mapping import NOTHING, AttributeMapping, SmartcardLogin, wanted_value
from sra.remote.accounts.directory import Accounts, CertificateDirectory, Directory, DirectoryError
from sra.remote.accounts.local_linux import FIRST_PERSON, LocalAccount, find_local
from sra.remote.accounts.pairing import LookupStep, PairingStore
from sra.remote.accounts.watched_file import WatchedFile

FindAuthorities = Callable[[CardCertificate], frozenset[str]]
"""The SHA-256 (small hex) of the authorities between a card and one that this machine trusts, that one included.

Raises ``RefusedError`` that says why there is none.
"""

DECISION_SECONDS = 9.0
"""For everything together: the admin waits 30 for its Welcome, of which the certificate policy may have used 20."""

MAX_SHOWN = 400
"""Characters of a value in a finding."""

log = logging.getLogger("sra.accounts")


def _no_authority(_: CardCertificate) -> frozenset[str]:
    raise RefusedError(RefusalCode.UNTRUSTED, "This remote trusts no authority.")


@dataclass(frozen=True)
class Decision:
    """The account, or the refusal, and every step on the way to it."""

    findings: tuple[LookupStep, ...]
    account: str = ""
    refusal: RefusedError | None = None


@dataclass(frozen=True)
class _Walk:
    """One card on its way through the rules."""

    card: CardCertificate
    findings: list[LookupStep] = field(default_factory=list)

    def note(self, rule: str, outcome: object) -> None:
        self.findings.append(LookupStep(rule, clean(str(outcome), MAX_SHOWN)))


@dataclass(frozen=True)
class AccountFinder:
    """Everything that says whom a card belongs to, on the machine that people call ``host``.

    ``directories`` are asked in order until one knows the value. ``vouching`` is asked before a name in a certificate
    is believed: without an authority, anybody can write any name into one.
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

        ``NOT_PAIRED``: nobody's card, or more than one's; ``NOT_ALLOWED``: the account may not come in;
        ``UNTRUSTED``: not from an authority that has to vouch for it; ``INTERNAL``: a file or a directory can't be
        read, and the log says which.
        """
        decision = await self.explain(card)
        if decision.refusal is not None:
            raise decision.refusal
        return decision.account

    async def explain(self, card: CardCertificate) -> Decision:
        """What ``find_account`` does, rule by rule."""
        walk = _Walk(card)
        try:
            async with asyncio.timeout(DECISION_SECONDS):
                account = await self._decide(walk)
        except RefusedError as error:
            return Decision(tuple(walk.findings), refusal=error)
        except TimeoutError:
            slow = DirectoryError(
                f"nothing was decided within {DECISION_SECONDS} s: a directory or a name service hangs"
            )
            refusal = self._directory_down(walk, "time", slow)
            return Decision(tuple(walk.findings), refusal=refusal)
        return Decision(tuple(walk.findings), account)

    async def _decide(self, walk: _Walk) -> str:
        """The rules from top to bottom."""
        login = self._read_login(walk)
        self._check_authorities(walk, login)
        found = await self._by_attribute(walk, login.mapping) if login.mapping else None
        found = found or await self._by_certificate(walk)
        account = await self._existing(walk, found or self._by_key(walk))
        await self._check_rules(walk, account, is_explicit=found is None)
        return account.name

    def _read_login(self, walk: _Walk) -> SmartcardLogin:
        if self.login is None:
            return NOTHING
        try:
            return self.login.current()
        except SraError as error:
            raise self._broken(walk, "attribute mapping", error, f"The attribute mapping of {self.host}") from error

    def _check_authorities(self, walk: _Walk, login: SmartcardLogin) -> None:
        """With ``TrustedAuthorities``, one of them has to vouch for every card, paired or not."""
        if login.authorities is None:
            return
        try:
            vouching = self.vouching(walk.card)
        except RefusedError as error:
            walk.note("trusted authorities", error)
            raise
        if vouching.isdisjoint(login.authorities):
            walk.note("trusted authorities", f"none of the {len(login.authorities)} listed ones vouches for it")
            text = f"The card's certificate comes from an authority that may not issue cards for {self.host}."
            raise RefusedError(RefusalCode.UNTRUSTED, text)
        walk.note("trusted authorities", "a listed one vouches for it")

    async def _by_attribute(self, walk: _Walk, mapping: AttributeMapping) -> str | None:
        """The account whose attribute has the value that the certificate's names make."""
        wanted = wanted_value(mapping, walk.card)
        rule = f"attribute {wanted.attribute}"
        if not self._says_its_use(walk, rule) or not self._is_vouched_for(walk, rule):
            return None
        if wanted.missing:
            walk.note(rule, f"not used: {'; '.join(wanted.missing)}")
            return None
        for directory in self.directories:
            step = f"{rule} in {directory.name}"
            try:
                accounts = await directory.find(wanted.attribute, wanted.value)
            except SraError as error:
                raise self._directory_down(walk, step, error) from error
            walk.note(step, f"“{wanted.value}”: {_said(accounts)}")
            if accounts:
                return self._only(accounts)
        return None

    async def _by_certificate(self, walk: _Walk) -> str | None:
        """The account that a directory has for this certificate."""
        for directory in self.certificates:
            step = f"certificate in {directory.name}"
            if not self._says_its_use(walk, step):
                continue
            if directory.goes_by_names and not self._is_vouched_for(walk, step):
                continue
            try:
                accounts = await directory.find_certificate(walk.card)
            except SraError as error:
                raise self._directory_down(walk, step, error) from error
            walk.note(step, _said(accounts))
            if accounts:
                return self._only(accounts)
        return None

    def _says_its_use(self, walk: _Walk, rule: str) -> bool:
        """A directory has certificates of every slot, and a key that decrypts for remotes must open no account.

        What root has paired by hand is root's choice.
        """
        if says_its_use(walk.card):
            return True
        walk.note(rule, "not used: the certificate does not say what its key is for (no key usage), so it may decrypt")
        return False

    def _is_vouched_for(self, walk: _Walk, rule: str) -> bool:
        try:
            self.vouching(walk.card)
        except RefusedError as error:
            walk.note(rule, f"not used, since no authority vouches for the names in the certificate: {error}")
            return False
        return True

    def _by_key(self, walk: _Walk) -> str:
        try:
            walk.findings.extend(self.pairings.explain(walk.card))
        except SraError as error:
            walk.note("pairing", error)
        return self.pairings.find_account(walk.card)

    async def _existing(self, walk: _Walk, name: str) -> LocalAccount:
        """The account as this machine knows it; in a thread, since its name services may have to ask around."""
        try:
            return await asyncio.to_thread(find_local, name)
        except UsageError as error:
            walk.note("account", error)
            log.warning("a card belongs to %s, which is no account of this machine", name)
            text = f"The account of this card does not exist on {self.host}. Ask its administrator."
            raise RefusedError(RefusalCode.NOT_PAIRED, text) from error

    async def _check_rules(self, walk: _Walk, account: LocalAccount, *, is_explicit: bool) -> None:
        """Raise ``RefusedError`` unless the account may come in; ``is_explicit``: root paired it by hand, here.

        Who may change a directory could otherwise become root of every machine that asks it.
        """
        if not is_explicit and account.uid < FIRST_PERSON and not self.rules.names(account.name):
            walk.note("allow and deny", f"{account.name} is a system account: only “allow” lets a directory open it")
            raise self._not_allowed(account)
        try:
            verdict = await asyncio.to_thread(self.rules.judge, account.name)
        except (SraError, KeyError, OSError) as error:
            raise self._broken(walk, "allow and deny", error, f"Who may come in on {self.host}") from error
        walk.note("allow and deny", f"{'may' if verdict.is_allowed else 'may not'} come in: {verdict.reason}")
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

    def _broken(self, walk: _Walk, rule: str, error: Exception, what: str) -> RefusedError:
        walk.note(rule, error)
        log.error("nobody gets in: %s", error)
        text = f"{what} can't be read. Its administrator finds the reason in its log."
        return RefusedError(RefusalCode.INTERNAL, text)

    def _directory_down(self, walk: _Walk, step: str, error: SraError) -> RefusedError:
        walk.note(step, error)
        log.error("nobody gets in whom a directory has to know: %s", error)
        text = f"The directory that knows the accounts of {self.host} can't be asked at the moment. Try again later."
        return RefusedError(RefusalCode.INTERNAL, text)


def _said(accounts: Accounts) -> str:
    return " and ".join(sorted(accounts)) or "nobody"
