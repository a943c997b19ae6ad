import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp as library
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sra.errors import RefusalCode, RefusedError
from sra.identity.authorities import Issued
from sra.identity.certificates import CardCertificate
from sra.identity.policy import CertificatePolicy, Certificates
from sra.remote.revocation import checker as module
from sra.remote.revocation import sources
from sra.remote.revocation.cache import Cache
from sra.remote.revocation.checker import PolicyChecker
from sra.remote.revocation.shelf import RETRY_AFTER, Shelf
from sra.remote.revocation.trust_folder import TrustFolder
from tests.chains import (
    AUTHORITY,
    DAY,
    NOW,
    RESPONDER,
    Entry,
    Extensions,
    Responder,
    card,
    key,
    large_list,
    points,
    policies,
    responder,
    root,
    usage,
)
from tests.remote.revocation.servers import Handler, Reply, Server, content, drip, serving

ROOT = root()
SUB = ROOT.authority("Sub")
REVOKING = CertificatePolicy(Certificates.CA_REVOCATION, timeout=2.0)
HOUR = timedelta(hours=1)


@dataclass
class Remote:
    """The folders of one remote; every ``check`` is a daemon that has just started, unless it is inside ``session``."""

    folder: Path
    policy: CertificatePolicy = REVOKING
    checker: PolicyChecker = field(init=False)

    def __post_init__(self) -> None:
        self.trust = self.folder / "trust"
        self.trust.mkdir()
        pem = b"".join(each.certificate.public_bytes(Encoding.PEM) for each in (ROOT, SUB))
        (self.trust / "authorities.pem").write_bytes(pem)
        self.restart()

    def restart(self) -> None:
        self.shelf = Shelf(Cache(self.folder / "kept"), self.policy.max_age, self.policy.timeout)
        self.checker = PolicyChecker(self.policy, TrustFolder(self.trust, self.trust), self.shelf)

    def file(self, name: str, data: bytes) -> None:
        (self.trust / f"{name}.crl").write_bytes(data)

    def check(self, certificate: x509.Certificate, now: datetime = NOW) -> None:
        asyncio.run(self.checker.check(card(certificate), now))
        self.shelf._threads.shutdown(wait=True)
        self.restart()

    def refusal(self, certificate: x509.Certificate, now: datetime = NOW) -> RefusedError:
        with pytest.raises(RefusedError) as caught:
            asyncio.run(self.checker.check(card(certificate), now))
        self.shelf._threads.shutdown(wait=True)
        self.restart()
        return caught.value

    def explain(self, certificate: x509.Certificate) -> list[tuple[str, str]]:
        findings, _ = asyncio.run(self.checker.explain(card(certificate), NOW))
        self.shelf._threads.shutdown(wait=True)
        self.restart()
        return [(finding.rule, finding.outcome) for finding in findings]


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


@pytest.fixture
def filed(remote: Remote) -> Remote:
    """A remote with a list of the root; the card's own issuer is what the test is about."""
    remote.file("root", ROOT.revocation_list())
    return remote


def serial(certificate: x509.Certificate) -> int:
    return certificate.serial_number


def test_the_paired_key_needs_no_authority(tmp_path: Path) -> None:
    remote = Remote(tmp_path, CertificatePolicy())
    stranger = root("Stranger").issue("Mallory")
    remote.check(stranger)
    assert remote.explain(stranger) == [("policy", "paired-key")]


def test_with_an_authority_strangers_and_wrong_uses_and_policies_are_refused(tmp_path: Path) -> None:
    policy = CertificatePolicy(Certificates.CA, frozenset({"1.2.3"}), frozenset({"1.3.6.1.5.5.7.3.2"}))
    remote = Remote(tmp_path, policy)
    sub = ROOT.authority("Sub", (*AUTHORITY, policies("1.2.3")))
    pem = [each.certificate.public_bytes(Encoding.PEM) for each in (ROOT, sub)]
    (remote.trust / "authorities.pem").write_bytes(b"".join(pem))
    client = (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")]), False)
    signs = (usage("digital_signature"), True)
    remote.check(sub.issue("Alice", [client, signs, policies("1.2.3")]))
    cases: list[tuple[x509.Certificate, RefusalCode]] = [
        (root("Stranger").issue("Mallory"), RefusalCode.UNTRUSTED),
        (sub.issue("Alice", [client, (usage("key_agreement"), True), policies("1.2.3")]), RefusalCode.USAGE),
        (sub.issue("Alice", [signs, policies("1.2.3")]), RefusalCode.USAGE),
        (sub.issue("Alice", [client, signs, policies("1.2.4")]), RefusalCode.USAGE),
    ]
    for certificate, code in cases:
        assert remote.refusal(certificate).code is code


def test_without_any_evidence_nobody_gets_in(remote: Remote) -> None:
    refused = remote.refusal(SUB.issue("Alice"))
    assert refused.code is RefusalCode.REVOCATION_UNKNOWN
    assert "names no place to ask" in refused.text


def test_lists_in_files_decide(filed: Remote) -> None:
    alice, bob = SUB.issue("Alice"), SUB.issue("Bob")
    filed.file("sub", SUB.revocation_list([Entry(serial(bob), x509.ReasonFlags.key_compromise)]))
    filed.check(alice)
    refused = filed.refusal(bob)
    assert (refused.code, refused.text) == (
        RefusalCode.REVOKED,
        "The card's certificate was revoked on 2030-01-10 (its key may be known to others). Use another card.",
    )


def test_every_authority_on_the_path_has_to_be_good_too(filed: Remote) -> None:
    filed.file("sub", SUB.revocation_list())
    filed.file("root", ROOT.revocation_list([Entry(serial(SUB.certificate))]))
    assert "The authority “Sub” was revoked" in filed.refusal(SUB.issue("Alice")).text
    (filed.trust / "root.crl").unlink()
    assert "whether the authority “Sub” is revoked" in filed.refusal(SUB.issue("Alice")).text


def test_a_stale_file_refuses_with_its_date(filed: Remote) -> None:
    filed.file("sub", SUB.revocation_list(dates=(NOW - 2 * DAY, NOW - DAY)))
    refused = filed.refusal(SUB.issue("Alice"))
    assert refused.code is RefusalCode.REVOCATION_UNKNOWN
    assert "the revocation list of “Sub” is stale since 2030-01-14" in refused.text


def test_a_file_that_is_not_used_is_named_in_the_refusal(filed: Remote) -> None:
    filed.file("sub", ROOT.revocation_list()[:-1])
    assert "sub.crl is not used" in filed.refusal(SUB.issue("Alice")).text


def test_a_list_is_fetched_once_and_kept_over_a_restart(filed: Remote) -> None:
    with serving(sub=content(SUB.revocation_list())) as server:
        alice = SUB.issue("Alice", [points(server.url("/sub"))])
        filed.check(alice)
        filed.check(alice)
        assert server.asked == ["/sub"]
    filed.check(alice)
    assert "Connection refused" in filed.refusal(alice, NOW + 2 * DAY).text


def test_the_second_point_is_asked_where_the_first_fails(filed: Remote) -> None:
    with serving(sub=content(SUB.revocation_list()), bad=content(b"rubbish")) as server:
        filed.check(SUB.issue("Alice", [points("ldap://x/cn=a", server.url("/bad"), server.url("/sub"))]))
        refused = filed.refusal(SUB.issue("Alice", [points("ldap://x/cn=b", server.url("/bad"))]))
    assert "a directory (LDAP), and those are not asked" in refused.text
    assert "the revocation list can't be read" in refused.text


def test_a_server_that_is_too_slow_lets_nobody_in(tmp_path: Path) -> None:
    remote = Remote(tmp_path, replace(REVOKING, timeout=0.3))
    remote.file("root", ROOT.revocation_list())
    with serving(slow=drip(b"HTTP/1.1 200 OK\r\n", b"x")) as server:
        start = time.monotonic()
        refused = remote.refusal(SUB.issue("Alice", [points(server.url("/slow"))]))
        assert time.monotonic() - start < 3
    assert refused.code is RefusalCode.REVOCATION_UNKNOWN
    assert "127.0.0.1" in refused.text


def test_all_questions_of_a_decision_end_before_the_admin_gives_up(
    filed: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DECISION_DEADLINE", 0.3)
    with serving(slow=drip(b"", b"")) as server:
        addresses = [server.url(f"/slow?{number}") for number in range(5)]
        server.replies |= {f"/slow?{number}": server.replies["/slow"] for number in range(5)}
        start = time.monotonic()
        assert "take too long" in filed.refusal(SUB.issue("Alice", [points(*addresses)])).text
        assert time.monotonic() - start < 5


def answering(who: Responder, issued: list[Issued]) -> Reply:
    def reply(handler: Handler, body: bytes) -> None:
        request = library.load_der_ocsp_request(body)
        nonce = request.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
        asked = next(each for each in issued if each.certificate.serial_number == request.serial_number)
        content(who.answer(asked, nonce))(handler, body)

    return reply


@contextlib.contextmanager
def ocsp(who: Responder) -> Iterator[tuple[Server, x509.Certificate]]:
    """A responder of the sub-authority, and a card that names it."""
    issued: list[Issued] = []
    with serving(ocsp=answering(who, issued)) as server:
        alice = SUB.issue("Alice", [responder(server.url("/ocsp"))])
        issued.append(Issued(alice, SUB.certificate))
        yield server, alice


DELEGATED = Responder(SUB.issue("Responder", RESPONDER), key("Responder"))


def test_a_responder_decides_and_its_answer_is_kept(filed: Remote) -> None:
    with ocsp(DELEGATED) as (server, alice):
        filed.check(alice)
        filed.check(alice)
        assert server.asked == ["/ocsp"]
    with ocsp(replace(DELEGATED, status=library.OCSPCertStatus.REVOKED)) as (_, alice):
        assert filed.refusal(alice).code is RefusalCode.REVOKED
    with ocsp(replace(DELEGATED, status=library.OCSPCertStatus.UNKNOWN)) as (_, alice):
        assert "doesn't know the certificate" in filed.refusal(alice).text


def test_where_the_responder_fails_the_list_decides(filed: Remote) -> None:
    with serving(sub=content(SUB.revocation_list()), ocsp=content(b"rubbish")) as server:
        filed.check(SUB.issue("Alice", [responder(server.url("/ocsp")), points(server.url("/sub"))]))
        assert server.asked == ["/ocsp", "/sub"]


@pytest.mark.parametrize(
    ("who_is_asked", "asked"),
    [({"ask_ocsp": False}, ["/sub"]), ({"ask_distribution_points": False}, ["/ocsp"]), ({}, ["/ocsp", "/sub"])],
)
def test_only_those_are_asked_who_may_be(tmp_path: Path, who_is_asked: dict[str, bool], asked: list[str]) -> None:
    remote = Remote(tmp_path, replace(REVOKING, **who_is_asked))  # type: ignore[arg-type]
    remote.file("root", ROOT.revocation_list())
    with serving(sub=content(b""), ocsp=content(b"")) as server:
        remote.refusal(SUB.issue("Alice", [responder(server.url("/ocsp")), points(server.url("/sub"))]))
        assert server.asked == asked


def test_a_stranger_makes_nobody_be_asked(remote: Remote) -> None:
    with serving(sub=content(b"")) as server:
        stranger = root("Stranger").issue("Mallory", [points(server.url("/sub")), responder(server.url("/sub"))])
        assert remote.refusal(stranger).code is RefusalCode.UNTRUSTED
        assert server.asked == []


def test_each_rule_is_explained(filed: Remote) -> None:
    filed.file("sub", SUB.revocation_list())
    alice = SUB.issue("Alice")
    until = "it counts until 2030-01-16 12:00 UTC"
    assert filed.explain(alice) == [
        ("policy", "ca+revocation"),
        ("path", "“Alice” ← “Sub” ← “Root”"),
        ("usage", "policies: none"),
        ("is “Alice” revoked", f"no, says the revocation list of “Sub”; {until}"),
        ("is “Sub” revoked", f"no, says the revocation list of “Root”; {until}"),
    ]
    filed.file("sub", SUB.revocation_list([Entry(serial(alice))]))
    rule, outcome = filed.explain(alice)[-1]
    assert rule == "refused"
    assert "was revoked on" in outcome


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(garbage=st.binary(max_size=200), cut=st.integers(0, 300), hours=st.integers(0, 20))
def test_nothing_but_a_refusal_comes_of_garbage(filed: Remote, garbage: bytes, cut: int, hours: int) -> None:
    listing = SUB.revocation_list([Entry(5)])
    answer = Responder(SUB.certificate, SUB.key).answer(Issued(SUB.issue("Bob"), SUB.certificate))
    alice = SUB.issue("Alice", [points("http://lists.example/"), responder("http://ocsp.example/")])
    for body in (garbage, listing[:cut] + garbage, answer[:cut] + garbage):
        assume(not body.startswith(listing))
        with pytest.MonkeyPatch.context() as patching:
            patching.setattr(sources, "fetch", lambda *_, body=body: body)
            assert filed.refusal(alice, NOW + hours * HOUR / 24).code is RefusalCode.REVOCATION_UNKNOWN


def test_many_at_once_ask_once(filed: Remote) -> None:
    with serving(sub=content(SUB.revocation_list())) as server:
        cards: list[CardCertificate] = [card(SUB.issue(f"{n}", [points(server.url("/sub"))])) for n in range(20)]

        async def work() -> None:
            await asyncio.gather(*(filed.checker.check(each, NOW) for each in cards))

        asyncio.run(work())
        assert server.asked == ["/sub"]


def test_after_a_failure_the_next_ones_are_refused_at_once(filed: Remote) -> None:
    with serving(sub=content(b"", 503)) as server:
        alice = card(SUB.issue("Alice", [points(server.url("/sub"))]))

        async def work() -> None:
            for moment in (NOW, NOW + RETRY_AFTER / 2, NOW + RETRY_AFTER):
                with pytest.raises(RefusedError, match="HTTP status 503"):
                    await filed.checker.check(alice, moment)

        asyncio.run(work())
        assert server.asked == ["/sub", "/sub"]


def test_in_the_background_lists_are_renewed_so_that_no_login_waits(
    filed: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sra.remote.revocation.shelf.ROUND", 0.01)
    with serving(sub=content(SUB.revocation_list(dates=(NOW - HOUR, NOW + HOUR)))) as server:
        filed.check(SUB.issue("Alice", [points(server.url("/sub"))]))
        server.replies["/sub"] = content(SUB.revocation_list(dates=(NOW, NOW + 9 * HOUR)))

        async def work() -> None:
            filed.checker.start(lambda: NOW + HOUR / 2)
            async with asyncio.timeout(5):
                while len(server.asked) < 2:  # noqa: ASYNC110 - it is asked by another thread
                    await asyncio.sleep(0.01)

        asyncio.run(work())
        assert server.asked == ["/sub", "/sub"]


def test_nothing_runs_in_the_background_where_nobody_has_to_be_asked(tmp_path: Path) -> None:
    remote = Remote(tmp_path, CertificatePolicy(Certificates.CA))

    async def work() -> None:
        remote.checker.start(lambda: NOW)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(work())


def test_openssl_as_a_responder_is_believed(tmp_path: Path, filed: Remote) -> None:
    """The real ``openssl ocsp`` with an index of its own, asked about a good and a revoked certificate."""
    now = datetime.now(UTC).replace(microsecond=0)
    dates = (now - DAY, now + DAY)
    anchor = root("Today", dates=dates)
    signer = anchor.issue("Responder", RESPONDER, dates)
    with Server({}) as reserved:
        port = reserved.server_port
    extensions: Extensions = [responder(f"http://127.0.0.1:{port}")]
    alice, bob, eve = (anchor.issue(name, extensions, dates) for name in ("Alice", "Bob", "Eve"))
    stamp = f"{now + DAY:%y%m%d%H%M%SZ}"
    lines = [
        f"V\t{stamp}\t\t{serial(alice):040X}\tunknown\t/CN=Alice",
        f"R\t{stamp}\t{now:%y%m%d%H%M%SZ},superseded\t{serial(bob):040X}\tunknown\t/CN=Bob",
    ]
    (tmp_path / "index").write_text("\n".join(lines) + "\n")
    for name, data in (
        ("ca", anchor.certificate.public_bytes(Encoding.PEM)),
        ("signer", signer.public_bytes(Encoding.PEM)),
        ("key", key("Responder").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
    ):
        (tmp_path / f"{name}.pem").write_bytes(data)
    (filed.trust / "today.pem").write_bytes(anchor.certificate.public_bytes(Encoding.PEM))
    command = f"openssl ocsp -port {port} -index index -CA ca.pem -rsigner signer.pem -rkey key.pem -nmin 5 -rmd sha256"
    with subprocess.Popen(command.split(), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert "waiting for OCSP client connections" in process.stderr.readline()
            filed.check(alice, now)
            refused = filed.refusal(bob, now)
            assert (refused.code, "it was replaced by another" in refused.text) == (RefusalCode.REVOKED, True)
            assert "doesn't know the certificate" in filed.refusal(eve, now).text
        finally:
            process.terminate()


def test_a_decision_with_a_list_of_100_000_takes_less_than_2_ms(filed: Remote) -> None:
    filed.file("sub", large_list("Sub"))
    alice = card(SUB.issue("Alice"))

    async def work() -> list[float]:
        await filed.checker.check(alice, NOW)
        taken = []
        for _ in range(100):
            start = time.perf_counter()
            await filed.checker.check(alice, NOW)
            taken.append(time.perf_counter() - start)
        return sorted(taken)

    assert asyncio.run(work())[50] < 0.002
