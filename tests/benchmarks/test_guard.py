from benchmarks.guard import Outcome, measure


def test_the_record_is_a_part_of_what_a_use_costs() -> None:
    outcome = measure(runs=50)
    assert 0 < outcome.unrecorded_p50 <= outcome.unrecorded_p99
    assert outcome.unrecorded_p50 < outcome.p50 <= outcome.p99
    assert 0 < outcome.many_p50 <= outcome.many_p99


def test_the_target_is_judged() -> None:
    assert str(Outcome(0.19, 1, 0.1, 0.1, 0.19, 1)).count("| met |") == 2
    assert str(Outcome(0.21, 1, 0.1, 0.1, 0.19, 1)).count("| not met |") == 1
    assert str(Outcome(0.19, 1, 0.1, 0.1, 0.21, 1)).count("| not met |") == 1
