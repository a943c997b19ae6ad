from benchmarks.decide import Outcome, measure


def test_a_decision_is_measured_from_the_signature_to_the_account() -> None:
    outcome = measure(runs=10, revoked=100)
    assert 0 < outcome.policy_p50 <= outcome.policy_p99
    assert outcome.policy_p50 < outcome.p50 <= outcome.p99
    assert outcome.load_ms > outcome.policy_p50


def test_the_target_is_judged() -> None:
    assert "| met |" in str(Outcome(1, 4.9, 1, 1, 1, 1))
    assert "| not met |" in str(Outcome(1, 5.1, 1, 1, 1, 1))
