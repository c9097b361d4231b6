"""How many ticks come in each hour: what a calendar shows ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kernel.model.errors import RequestError
from kernel.model.run import iso
from kernel.model.schedule import Timing
from tests.flow_kit import cron, every, running

if TYPE_CHECKING:
    from kernel.model.schedule import Schedule

HOUR, DAY = 3600.0, 86400.0


async def work() -> None: ...


async def test_each_hour_says_its_first_tick_and_how_many_there_are() -> None:
    schedules = [cron("15,45 3 * * *", name="demo.night"), every(1200, name="demo.often")]
    async with running(work, schedules=schedules) as flow:
        now = flow.clock.now()
        found = await flow.control.schedules_hours(since=now, until=now + 2 * DAY, schedules=["demo.night"])
        often = await flow.control.schedules_hours(since=now, until=now + 2 * HOUR)

    assert [(one["schedule"], one["job"], one["at"], one["count"]) for one in found] == [
        ("demo.night", "demo.work", iso(now + at), 2) for at in (3.25 * HOUR, DAY + 3.25 * HOUR)
    ]
    assert [(one["at"], one["count"]) for one in often] == [
        (iso(now + 1200), 2), (iso(now + HOUR), 3), (iso(now + 2 * HOUR), 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "schedule",
    [
        cron("* * * * * *"),
        cron("*/7 */5 * * * *"),
        cron("30 9-17 * * * *"),
        cron("* 8-9 * * *", timezone="Asia/Kolkata"),
        cron("H H * * *"),
        every(0.7),
        every(61),
        every(60, anchor="finish"),
    ],
    ids=lambda schedule: str(schedule.describe()),
)
async def test_the_counts_are_those_of_the_ticks_themselves(schedule: Schedule) -> None:
    async with running(work, schedules=[schedule]) as flow:
        [row] = await flow.store.schedules()
        since, until = flow.clock.now() + 1234.5, flow.clock.now() + 13 * HOUR + 77
        found = await flow.control.schedules_hours(since=since, until=until)
        ticks = list(Timing(row.schedule, row.anchor).between(since, until))

    expected: dict[float, int] = {}
    for at in ticks:
        expected[at // HOUR] = expected.get(at // HOUR, 0) + 1
    assert [one["count"] for one in found] == list(expected.values())


async def test_the_next_ticks_of_one_schedule_are_told_even_while_it_is_paused() -> None:
    schedules = [cron("0 3 * * *", name="demo.night", paused=True), every(1200, name="demo.often")]
    async with running(work, schedules=schedules) as flow:
        now, control = flow.clock.now(), flow.control

        assert await control.schedules_next(schedule="demo.night", count=2) == [
            iso(now + at) for at in (3 * HOUR, DAY + 3 * HOUR)
        ]
        assert len(await control.schedules_next(schedule="demo.often")) == 10
        with pytest.raises(RequestError, match="count: 0: expected a whole number"):
            await control.schedules_next(schedule="demo.often", count=0)


async def test_what_is_paused_or_unknown_does_not_tick() -> None:
    schedules = [every(60, name="demo.off", paused=True), every(60, "demo.gone", name="demo.lost")]
    async with running(work, schedules=schedules) as flow:
        now = flow.clock.now()

        assert await flow.control.schedules_hours(since=now, until=now + DAY) == []


async def test_four_days_of_schedules_that_tick_every_second_are_counted_by_the_hour() -> None:
    schedules = [cron("* * * * * *", name=f"s{number}") for number in range(10)]
    async with running(work, schedules=schedules) as flow:
        now = flow.clock.now()
        found = await flow.control.schedules_hours(since=now, until=now + 4 * DAY)

    assert {one["count"] for one in found[1:96]} == {3600}


@pytest.mark.parametrize(("since", "until"), [(0.0, 10.0), (10.0, 0.0), (0.0, 1e12)])
async def test_a_span_that_no_calendar_shows_is_refused(since: float, until: float) -> None:
    async with running(work, schedules=[every(60)]) as flow:
        given: dict[str, Any] = {"since": since, "until": until}
        with pytest.raises(RequestError, match="expected an instant after since"):
            await flow.control.call("schedules_hours", given)
