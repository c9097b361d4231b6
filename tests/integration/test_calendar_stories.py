"""What a calendar of schedules is told: ticks that were, and ticks that come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kernel.model.errors import RequestError, UnknownNameError
from kernel.model.run import iso
from tests.flow_kit import cron, every, job_of, running

if TYPE_CHECKING:
    from kernel.model.schedule import Schedule


async def work() -> None: ...


async def fails() -> None:
    raise ValueError("no")


JOBS = (work, job_of(fails))


async def test_the_ticks_of_a_span_are_told_with_what_became_of_them() -> None:
    schedules = [every(60, name="demo.ok"), every(100, "demo.fails", name="demo.bad")]
    async with running(*JOBS, schedules=schedules) as flow:
        begin = flow.clock.now()
        for _ in range(4):
            await flow.clock.advance(60)
            await flow.quiet()
        control = flow.control
        found = await control.schedules_ticks(since=begin, until=iso(flow.clock.now()) or "")
        of_one = await control.schedules_ticks(since="1h", until="0s", schedule="demo.bad")
        few = await control.schedules_ticks(since="1h", until="0s", limit=2)
        early = await control.schedules_ticks(since=begin, until=begin + 70)

    told = [(one["schedule"], one["first_at"], one["result"], one["state"]) for one in found["ticks"]]
    expected = [("demo.ok", 240, "completed"), ("demo.bad", 200, "failed"), ("demo.ok", 180, "completed")]
    assert told[:3] == [(name, iso(begin + at), "run", state) for name, at, state in expected]
    assert [one["first_at"] for one in found["ticks"]] == [iso(begin + at) for at in (240, 200, 180, 120, 100, 60)]
    assert found["is_cut"] is False
    assert {one["schedule"] for one in of_one["ticks"]} == {"demo.bad"}
    assert (few["ticks"], few["is_cut"]) == (found["ticks"][:2], True)
    assert early["ticks"] == found["ticks"][-1:]
    assert set(found["ticks"][0]) == {
        "schedule", "first_at", "last_at", "count", "result", "reason", "run", "state", "degraded",
    }  # fmt: skip


async def test_ticks_that_did_not_run_are_told_as_ranges() -> None:
    async with running(*JOBS, schedules=[every(60, paused=True)]) as flow:
        begin = flow.clock.now()
        for _ in range(3):
            await flow.clock.advance(60)
            await flow.quiet()
        [line] = (await flow.control.schedules_ticks(since=begin, until="0s"))["ticks"]

    assert (line["count"], line["result"], line["run"], line["state"]) == (3, "paused", None, None)
    assert (line["first_at"], line["last_at"]) == (iso(begin + 60), iso(begin + 180))


async def test_the_next_ticks_of_all_schedules_are_told_in_order() -> None:
    schedules = [every(600, name="a"), every(900, name="b"), every(60, name="c", paused=True), every(7000, name="d")]
    async with running(*JOBS, schedules=schedules) as flow:
        begin = flow.clock.now()
        control = flow.control
        found = await control.schedules_upcoming(until="30m")
        few = await control.schedules_upcoming(until=iso(begin + 1800) or "", limit=2)

    told = [(one["schedule"], one["at"]) for one in found["ticks"]]
    order = [("a", 600), ("b", 900), ("a", 1200), ("a", 1800), ("b", 1800)]
    assert told == [(name, iso(begin + at)) for name, at in order]
    assert found["more"] == []
    assert few["ticks"] == found["ticks"][:2]
    assert few["more"] == [
        {"schedule": "a", "more": 2, "is_exact": True},
        {"schedule": "b", "more": 1, "is_exact": True},
    ]


async def test_a_schedule_that_ticks_often_does_not_flood_the_others() -> None:
    schedules = [every(1, name="often"), cron("* * * * *", name="minutely"), every(86_000, name="daily")]
    async with running(*JOBS, schedules=schedules) as flow:
        found = await flow.control.schedules_upcoming(until="1d")

    names = [one["schedule"] for one in found["ticks"]]
    assert {name: names.count(name) for name in names} == {"often": 100, "minutely": 100, "daily": 1}
    assert found["more"] == [
        {"schedule": "minutely", "more": 1000, "is_exact": False},
        {"schedule": "often", "more": 86_300, "is_exact": True},
    ]


async def test_a_week_of_a_hundred_schedules_is_told_with_how_many_are_left_out() -> None:
    schedules: list[Schedule] = [cron(f"{n % 60} * * * *", name=f"s{n:03}") for n in range(100)]
    async with running(*JOBS, schedules=schedules) as flow:
        found = await flow.control.schedules_upcoming(until="7d")

    assert len(found["ticks"]) == 1000
    assert sum(one["more"] for one in found["more"]) == 100 * 168 - 1000


@pytest.mark.parametrize(
    ("operation", "given", "told"),
    [
        ("schedules_ticks", {"since": "x", "until": "0s"}, "since: 'x': expected ISO 8601"),
        ("schedules_ticks", {"since": "1h", "until": "2h"}, "until: '2h': expected an instant after since"),
        (
            "schedules_ticks",
            {"since": "1h", "until": "0s", "limit": 0},
            "limit: 0: expected a whole number from 1 to 5,000",
        ),
        ("schedules_upcoming", {"until": "soon"}, 'or how long from now, as "2h"'),
        ("schedules_upcoming", {"until": "1h", "limit": "5"}, "limit: '5': expected a whole number"),
    ],
    ids=str,
)
async def test_a_wrong_span_is_refused(operation: str, given: dict[str, Any], told: str) -> None:
    async with running(*JOBS, schedules=[every(60)]) as flow:
        with pytest.raises(RequestError) as caught:
            await flow.control.call(operation, given)

    assert told in str(caught.value)


async def test_the_ticks_of_an_unknown_schedule_are_refused_with_the_nearest_name() -> None:
    async with running(*JOBS, schedules=[every(60)]) as flow:
        with pytest.raises(UnknownNameError, match=r"Did you mean .demo\.work"):
            await flow.control.schedules_ticks(since="1h", until="0s", schedule="demo.wrok")
