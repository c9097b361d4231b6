"""What is known of a job's runs: by one kernel, by several, and after it was written and read."""

from __future__ import annotations

from plugins.health.record import Record, merged, quantile


def failing(*instants: float) -> Record:
    record = Record()
    for at in instants:
        record.has_failed(at, 1.0, f"error at {at:g}")
    return record


def succeeding(*instants: float, seconds: float = 1.0) -> Record:
    record = Record()
    for at in instants:
        record.completed(at, seconds, is_degraded=False)
    return record


def test_a_success_ends_the_failures_in_a_row() -> None:
    record = failing(10.0, 20.0)

    before = record.failures_since(None)
    record.completed(30.0, 2.0, is_degraded=True)

    assert (before, record.failures_since(30.0)) == (2, 0)
    assert (record.started_at, record.succeeded_at, record.failed_at) == (28.0, 30.0, 20.0)
    assert record.is_degraded


def test_failures_before_a_success_are_not_counted_with_those_after_it_however_many() -> None:
    record = failing(*range(5))
    record.completed(10.0, 1.0, is_degraded=False)
    for at in range(11, 41):
        record.has_failed(float(at), 1.0, "again")

    assert record.failures_since(record.succeeded_at) == 30


def test_a_record_comes_back_as_it_was_written() -> None:
    record = failing(10.0, 20.0)
    record.durations.extend([0.123456, 2.0])
    record.known_at, record.idle_at, record.is_degraded = 1.0, 5.0, True

    again = Record.from_json(record.as_json())

    assert list(again.durations) == [0.1235, 2.0]
    again.durations = record.durations
    assert again == record


def test_of_durations_the_last_hundred_are_kept_however_many_there_were() -> None:
    record = succeeding(*range(1, 1_001))

    assert len(record.durations) == 100
    assert len(record.as_json()["durations"]) == 100


def test_a_million_failures_take_no_more_room_than_a_few_and_are_counted() -> None:
    record = failing(*range(10_000))

    assert (record.failures_since(None), len(record.failed)) == (10_000, 20)


def test_a_success_that_another_kernel_has_seen_ends_the_failures_before_it() -> None:
    mine, theirs = failing(10.0, 20.0, 40.0), succeeding(30.0)

    whole = merged([mine, theirs])

    assert whole.streak == 1
    assert (whole.succeeded_at, whole.failed_at, whole.error) == (30.0, 40.0, "error at 40")


def test_failures_that_two_kernels_have_seen_add_up() -> None:
    assert merged([failing(10.0, 20.0), failing(15.0), succeeding(5.0)]).streak == 3


def test_of_several_kernels_the_latest_instants_count_and_the_first_time_it_was_known() -> None:
    mine, theirs = succeeding(30.0), succeeding(20.0)
    mine.known_at, theirs.known_at = 15.0, 2.0
    theirs.idle_at = 25.0
    theirs.is_degraded = True

    whole = merged([mine, theirs])

    assert (whole.known_at, whole.idle_at, whole.succeeded_at, whole.is_degraded) == (2.0, 25.0, 30.0, False)


def test_two_kernels_that_share_the_work_both_count_for_the_usual_time() -> None:
    whole = merged([succeeding(*range(100), seconds=1.0), succeeding(*range(100, 200), seconds=3.0)])

    assert (quantile(whole.durations, 0.25), quantile(whole.durations, 0.95)) == (1.0, 3.0)


def test_quantiles_are_durations_that_there_were() -> None:
    durations = [float(second) for second in range(1, 101)]

    assert (quantile(durations, 0.5), quantile(durations, 0.95), quantile(durations, 1.0)) == (51.0, 96.0, 100.0)
    assert (quantile([7.0], 0.5), quantile([], 0.5)) == (7.0, None)


def test_the_success_rate_is_that_of_the_last_hundred_ends_and_survives_being_written() -> None:
    record = Record()
    for _ in range(100):
        record.completed(1.0, 0.1, is_degraded=False)
    for _ in range(25):
        record.has_failed(2.0, 0.1, "ValueError: no")

    assert Record().success_rate is None
    assert record.success_rate == 0.75
    assert Record.from_json(record.as_json()).success_rate == 0.75
    other = Record()
    other.completed(3.0, 0.1, is_degraded=False)
    assert merged([record, other]).success_rate == 76 / 101
