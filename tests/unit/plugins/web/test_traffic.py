"""How many runs ended in each minute of the last hour, of all kernels on the store."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from kernel import StoreError
from kernel.events import RunFailed, RunsCompleted
from kernel.model.events import Completion
from kernel.testing import START, FakeClock
from plugins.web.traffic import MINUTES, READ_SECONDS, WRITE_SECONDS, Traffic


class Values:
    """A plugin's values in the store: what is put as None goes."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.fails = False

    async def get(self) -> dict[str, Any]:
        return dict(self.rows)

    async def put(self, values: dict[str, Any]) -> None:
        if self.fails:
            raise StoreError("it is away")
        self.rows |= values
        self.rows = {key: value for key, value in self.rows.items() if value is not None}


def traffic_of(values: Values, clock: FakeClock, name: str = "one") -> Traffic:
    kernel: Any = SimpleNamespace(id=name, clock=clock, values=lambda _plugin: values)
    return Traffic(kernel)


def completed(*instants: float) -> RunsCompleted:
    return RunsCompleted(instants[-1], tuple(_end(at) for at in instants))


def _end(at: float) -> Completion:
    given = dict.fromkeys(Completion._fields, 0) | {"at": at}
    return Completion(**given)  # type: ignore[arg-type] # traffic reads the instant alone


def failed(at: float) -> RunFailed:
    return RunFailed(at, "r", "demo.bad", "default", 1, 0.1, "ValueError: no", "attempts used up")


async def test_ends_are_counted_in_the_minute_in_which_they_were() -> None:
    clock = FakeClock(START + 600)
    traffic = traffic_of(Values(), clock)
    traffic.take(completed(START + 485, START + 539, START + 540))
    traffic.take(failed(START + 600))

    minutes = await traffic.minutes()

    assert len(minutes) == MINUTES
    assert [minute.at for minute in minutes[-3:]] == [START + 480, START + 540, START + 600]
    assert [minute[1:] for minute in minutes[-3:]] == [(2, 0), (1, 0), (0, 1)]


async def test_what_two_kernels_have_written_is_summed() -> None:
    clock, values = FakeClock(START + 600), Values()
    one, two = traffic_of(values, clock, "one"), traffic_of(values, clock, "two")
    await one.start()
    await two.start()
    one.take(completed(START + 600))
    two.take(completed(START + 601, START + 602))
    two.take(failed(START + 603))
    await clock.advance(WRITE_SECONDS)

    three = traffic_of(values, clock, "three")
    await three.start()

    for traffic in (one, two, three):
        assert (await traffic.minutes())[-1][1:] == (3, 1)
        await traffic.stop()


async def test_a_restart_forgets_nothing_that_was_written() -> None:
    clock, values = FakeClock(START + 600), Values()
    before = traffic_of(values, clock, "before")
    await before.start()
    before.take(completed(START + 600, START + 601))
    await before.stop()
    after = traffic_of(values, clock, "after")
    await after.start()
    after.take(completed(START + 602))

    assert (await after.minutes())[-1].completed == 3
    await after.stop()


async def test_the_hour_slides_and_old_minutes_fall_out() -> None:
    clock, values = FakeClock(START), Values()
    traffic = traffic_of(values, clock)
    await traffic.start()
    traffic.take(completed(START))
    clock.skip(59 * 60)
    assert (await traffic.minutes())[0][1:] == (1, 0)

    clock.skip(60)

    assert sum(minute.completed for minute in await traffic.minutes()) == 0
    await traffic.write()
    assert values.rows == {"minutes one": {}}
    await traffic.stop()


async def test_the_row_of_a_kernel_that_has_counted_nothing_for_an_hour_goes() -> None:
    clock, values = FakeClock(START), Values()
    gone = traffic_of(values, clock, "gone")
    await gone.start()
    gone.take(completed(START))
    await gone.stop()
    assert "minutes gone" in values.rows
    clock.skip(3_700)
    traffic = traffic_of(values, clock)
    await traffic.start()

    await traffic.write()

    assert list(values.rows) == ["minutes one"]
    await traffic.stop()


async def test_damaged_rows_are_left_out() -> None:
    clock, values = FakeClock(START), Values()
    minute = str(int(START // 60))
    values.rows = {
        "minutes a": {minute: [2, 1]}, "minutes b": {minute: "many", "x": [1, 1]}, "minutes c": [1, 2],
        "minutes d": {minute: [1]}, "minutes e": None, "minutes f": {minute: [None, 1]}, "minutes g": {"-5": [1, 1]},
    }  # fmt: skip

    assert (await traffic_of(values, clock).minutes())[-1][1:] == (2, 1)


async def test_the_store_is_asked_once_in_a_while_however_many_look() -> None:
    clock, values = FakeClock(START), Values()
    traffic = traffic_of(values, clock)
    await traffic.minutes()
    values.rows = {"minutes other": {str(int(START // 60)): [5, 0]}}
    assert (await traffic.minutes())[-1].completed == 0

    await clock.advance(READ_SECONDS)

    assert (await traffic.minutes())[-1].completed == 5


async def test_a_store_that_is_away_at_the_end_harms_nothing() -> None:
    values = Values()
    traffic = traffic_of(values, FakeClock(START))
    await traffic.start()
    values.fails = True

    await traffic.stop()


async def test_a_plugin_that_was_off_for_a_moment_goes_on_with_what_its_kernel_had_counted() -> None:
    clock, values = FakeClock(START + 600), Values()
    before = traffic_of(values, clock)
    await before.start()
    before.take(completed(START + 590, START + 595))
    await before.stop()

    after = traffic_of(values, clock)
    await after.start()
    after.take(completed(START + 600))
    told = [await after.minutes()]
    await after.write()
    told.append(await traffic_of(values, clock, "another").minutes())
    await after.stop()

    assert [[minute.completed for minute in minutes[-2:]] for minutes in told] == [[2, 1], [2, 1]]
