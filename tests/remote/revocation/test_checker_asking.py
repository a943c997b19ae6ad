import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
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
from sra.remote.revocation import answers as module
from sra.remote.revocation import sources
from sra.remote.revocation.evidence_store import RETRY_AFTER
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
    points,
    responder,
    root,
    scope,
    usage,
)
from tests.remote.revocation.policy_remote import REVOKING, ROOT, SUB, Remote
from tests.remote.revocation.servers import Handler, Reply, Server, content, drip, serving

HOUR = timedelta(hours=1)


def serial(certificate: x509.Certificate) -> int:
    return certificate.serial_number


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


PLAIN = Responder(SUB.issue("Plain", RESPONDER[:1]), key("Plain"))
"""As in the field: authorised, but without id-pkix-ocsp-nocheck."""
REVOKED = library.OCSPCertStatus.REVOKED


def test_revoked_is_heard_of_a_responder_without_nocheck_though_a_list_is_empty(filed: Remote) -> None:
    with ocsp(replace(PLAIN, status=REVOKED)) as (_, alice):
        assert filed.refusal(alice).code is RefusalCode.REVOKED
    with ocsp(replace(PLAIN, status=REVOKED, this_update=NOW - 9 * DAY, next_update=NOW - 8 * DAY)) as (_, alice):
        assert filed.refusal(alice).code is RefusalCode.REVOKED
        filed.file("sub", SUB.revocation_list())  # it was kept, and a list that is good now does not undo it
        assert filed.refusal(alice).code is RefusalCode.REVOKED


def test_good_of_a_responder_without_nocheck_needs_a_list_that_does_not_revoke_it(filed: Remote) -> None:
    parted = scope(only_some_reasons=frozenset({x509.ReasonFlags.superseded}))
    with ocsp(PLAIN) as (_, alice):
        assert "could itself be revoked, and no list here says that it is not" in filed.refusal(alice).text
        filed.file("sub", SUB.revocation_list([Entry(serial(PLAIN.signer))], [parted]))
        assert "the OCSP responder “Plain” was itself revoked" in filed.refusal(alice).text
        filed.file("sub", SUB.revocation_list())
        filed.check(alice)


async def test_a_stale_list_that_was_fetched_revokes_and_is_not_forgotten(filed: Remote) -> None:
    names = ("old", "new")
    with serving(**{name: content(b"") for name in names}) as server:
        addresses = [points(server.url(f"/{name}")) for name in names]
        both = x509.CRLDistributionPoints([point for each, _ in addresses for point in each])  # type: ignore[attr-defined]
        alice = SUB.issue("Alice", [(both, False)])
        stale = (NOW - 3 * DAY, NOW - 2 * DAY)
        server.replies["/old"] = content(SUB.revocation_list([Entry(serial(alice))], dates=stale))
        server.replies["/new"] = content(SUB.revocation_list())
        for _ in range(2):
            with pytest.raises(RefusedError, match="was revoked"):
                await filed.checker.check(card(alice), NOW)


def test_deltas_are_fetched_where_a_list_or_a_card_names_them(filed: Remote) -> None:
    delta: Extensions = [(x509.CRLNumber(6), False), (x509.DeltaCRLIndicator(5), True)]
    with serving(delta=content(b"")) as server:
        address = [x509.UniformResourceIdentifier(server.url("/delta"))]
        named = x509.FreshestCRL([x509.DistributionPoint(address, None, None, None)])
        bob, alice = SUB.issue("Bob"), SUB.issue("Alice", [(named, False)])
        server.replies["/delta"] = content(SUB.revocation_list([Entry(serial(bob)), Entry(serial(alice))], delta))
        filed.file("sub", SUB.revocation_list(extensions=[(x509.CRLNumber(5), False)]))
        assert filed.refusal(alice).code is RefusalCode.REVOKED
        filed.file("sub", SUB.revocation_list(extensions=[(x509.CRLNumber(5), False), (named, False)]))
        assert filed.refusal(bob).code is RefusalCode.REVOKED
        filed.check(SUB.issue("Carol"))
        assert server.asked == ["/delta"]


def test_an_indirect_list_is_fetched_and_believed_of_its_issuer(filed: Remote) -> None:
    lister = ROOT.authority("Lister", (AUTHORITY[0], (usage("crl_sign"), True)))
    filed.trusting(ROOT, SUB, lister)
    with serving(all=content(b"")) as server:
        name = [x509.UniformResourceIdentifier(server.url("/all"))]
        issuer = [x509.DirectoryName(lister.certificate.subject)]
        point = x509.CRLDistributionPoints([x509.DistributionPoint(name, None, None, issuer)])
        alice, bob = (SUB.issue(each, [(point, False)]) for each in ("Alice", "Bob"))
        whose = (x509.CertificateIssuer([x509.DirectoryName(SUB.certificate.subject)]), True)
        entry = Entry(serial(bob), extensions=[whose])
        server.replies["/all"] = content(lister.revocation_list([entry], [scope(indirect_crl=True)]))
        filed.check(alice)
        assert filed.refusal(bob).code is RefusalCode.REVOKED


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


async def test_many_at_once_ask_once(filed: Remote) -> None:
    with serving(sub=content(SUB.revocation_list())) as server:
        cards: list[CardCertificate] = [card(SUB.issue(f"{n}", [points(server.url("/sub"))])) for n in range(20)]
        await asyncio.gather(*(filed.checker.check(each, NOW) for each in cards))
        assert server.asked == ["/sub"]


async def test_after_a_failure_the_next_ones_are_refused_at_once(filed: Remote) -> None:
    with serving(sub=content(b"", 503)) as server:
        alice = card(SUB.issue("Alice", [points(server.url("/sub"))]))
        for moment in (NOW, NOW + RETRY_AFTER / 2, NOW + RETRY_AFTER):
            with pytest.raises(RefusedError, match="HTTP status 503"):
                await filed.checker.check(alice, moment)
        assert server.asked == ["/sub", "/sub"]


def test_in_the_background_lists_are_renewed_so_that_no_login_waits(
    filed: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sra.remote.revocation.evidence_store.ROUND", 0.01)
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


async def test_nothing_runs_in_the_background_where_nobody_has_to_be_asked(tmp_path: Path) -> None:
    remote = Remote(tmp_path, CertificatePolicy(Certificates.CA))
    remote.checker.start(lambda: NOW)
    assert len(asyncio.all_tasks()) == 1


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
