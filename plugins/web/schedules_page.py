"""Schedules: a week of their ticks with what became of each and what comes; pause, resume, run now."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from kernel import cron_in_words

from .agenda import OFTEN, Agenda, Tick, agenda
from .calendar import DAY, FATES, HOUR, Ahead, Bunch, Line, arrange, bunches
from .ledger import line_of
from .problem import Problem
from .route import Route
from .sentence import sentence
from .site import Site, site_of
from .unknown_job import absent_for, absent_of
from .wording import epoch, query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

    from .unknown_job import Absent

A_PAGE = 25
_DAYS_AROUND = 3
_LAST_YEAR = 9_000
_OFTEN = 100
_MOST_AHEAD = 5_000
_LEDGER_DAYS = 8
_MOST_LINES = 50
SHOWN = {"": "All", "active": "Active", "paused": "Paused"}


class Week(NamedTuple):
    """Seven days around ``middle``, each by its first second."""

    middle: date
    days: Sequence[float]

    @property
    def begin(self) -> float:
        return self.days[0]

    @property
    def end(self) -> float:
        return self.days[-1] + DAY

    def moved(self, days: int) -> str:
        return (self.middle + timedelta(days=days)).isoformat()


async def show(request: web.Request) -> web.Response:
    site = site_of(request)
    week = _week_of(request.query.get("week", ""), site.now)
    text, shown = request.query.get("q", "").strip()[:200], request.query.get("shown", "")
    rows = await site.recent.get("schedules", 1.0, site.kernel.control.schedules_list)
    found = [row for row in rows if _fits(row, text.casefold(), shown)]
    pages = max(-(-len(found) // A_PAGE), 1)
    number = min(max(_whole(request.query.get("page", "")), 1), pages)
    some = found[(number - 1) * A_PAGE : number * A_PAGE]
    lanes, is_whole = await lanes_of(site, some, week)
    absent = await absent_of(site)
    return site.page(
        request,
        "schedules.html",
        count=len(rows),
        found=len(found),
        rows=[
            row
            | {
                "last": last,
                "next_text": in_zone(row["next_at"], row),
                "words": in_words(row),
                "absent": None if row["job_known"] else absent_for(row["job"], row["plugin"], absent),
            }
            for row, last in zip(some, await _last_of(site, some), strict=True)
        ],
        lanes=lanes,
        is_whole=is_whole,
        week=week,
        today=site.now // DAY * DAY,
        given={key: request.query.get(key, "") for key in ("q", "shown", "week", "page")},
        shown_words=SHOWN,
        page_number=number,
        pages=pages,
        bunches=await bunches_of(site),
        agenda=await agenda_of(site, found),
        words={row["schedule"]: in_words(row) for row in found},
        fates=FATES,
        here=_here(request),
    )


async def show_one(request: web.Request) -> web.Response:
    site, control = site_of(request), site_of(request).kernel.control
    name, at = request.query.get("name", ""), request.query.get("at", "").strip()
    schedule = await control.schedules_show(schedule=name)
    now = site.now
    day = _day_of(request.query.get("day", ""))
    since, until = (now - _LEDGER_DAYS * DAY, now) if day is None else (day, day + DAY - 0.001)
    told = await control.schedules_ticks(schedule=name, since=max(since, 0.0), until=until, limit=_MOST_LINES)
    week = _week_of("" if day is None else _date(day).isoformat(), now)
    lanes, is_whole = await lanes_of(site, [schedule], week)
    return site.page(
        request,
        "schedule.html",
        schedule=schedule | {"words": in_words(schedule)},
        absent=await _absent(site, schedule),
        coming=[
            {"at": instant, "text": in_zone(instant, schedule)}
            for instant in await control.schedules_next(schedule=name)
        ],
        lines=[line for one in told["ticks"] if (line := line_of(one))],
        is_cut=told["is_cut"],
        day=day,
        at=at,
        sentence=sentence,
        explained=await control.explain(subject=name, at=at) if at else None,
        lanes=lanes,
        is_whole=is_whole,
        week=week,
        today=now // DAY * DAY,
        fates=FATES,
        here=_here(request),
    )


async def pause(request: web.Request) -> web.Response:
    name, back = await _form(request)
    await site_of(request).kernel.control.schedules_pause(schedule=name)
    return _done(
        request, "schedules_pause", name, back, told=f"{name} is paused: its ticks make no runs until it is resumed."
    )


async def resume(request: web.Request) -> web.Response:
    name, back = await _form(request)
    await site_of(request).kernel.control.schedules_resume(schedule=name)
    return _done(request, "schedules_resume", name, back, told=f"{name} ticks again.")


async def trigger(request: web.Request) -> web.Response:
    name, back = await _form(request)
    run = await site_of(request).kernel.control.schedules_trigger(schedule=name)
    return _done(request, "schedules_trigger", name, back, told=f"{name} runs now, as run {run['id']}.", text=run["id"])


async def remove(request: web.Request) -> web.Response:
    name, _ = await _form(request)
    await site_of(request).kernel.control.schedules_remove(schedule=name)
    return _done(request, "schedules_remove", name, "/schedules", told=f"{name} is removed.")


async def _absent(site: Site, schedule: Mapping[str, Any]) -> Absent | None:
    if schedule["job_known"]:
        return None
    return absent_for(schedule["job"], schedule["plugin"], await absent_of(site))


def _done(request: web.Request, action: str, name: str, back: str, *, told: str, text: str = "") -> web.Response:
    site = site_of(request)
    site.acted(request, action, name, text)
    site.recent.forget()
    site.ledger.forget()
    return site.redirect(back, told=told)


async def _form(request: web.Request) -> tuple[str, str]:
    """The schedule's name, and where to go back to: a page of schedules, whatever was given."""
    form = await request.post()
    name, back = form.get("schedule"), form.get("back", "")
    if not isinstance(name, str) or not name:
        raise Problem(400, "No schedule named", "expected the field schedule with a schedule's name")
    is_ours = isinstance(back, str) and back.startswith("/schedules") and back.isprintable() and back.isascii()
    return name, str(back) if is_ours else "/schedules"


def _here(request: web.Request) -> str:
    """The address of what is shown, without what was told when it was last changed."""
    return request.path + query({key: value for key, value in request.query.items() if key != "told"}).removesuffix("?")


async def lanes_of(site: Site, schedules: Sequence[Mapping[str, Any]], week: Week) -> tuple[list[dict[str, Any]], bool]:
    """Each schedule with its seven days; and whether all that was has been read."""
    now = site.now
    is_whole = await site.ledger.look(week.begin, week.end) if week.begin < now else True
    ahead = await _ahead_of(site, schedules, week) if week.end > now else {}
    lanes = []
    for schedule in schedules:
        hours = site.ledger.of(schedule["schedule"])
        coming = ahead.get(schedule["schedule"], {})
        days = [(begin, arrange(begin, hours, coming, now)) for begin in week.days]
        lanes.append({"schedule": schedule, "days": days, "words": in_words(schedule)})
    return lanes, is_whole


async def _ahead_of(site: Site, schedules: Sequence[Mapping[str, Any]], week: Week) -> dict[str, dict[int, Ahead]]:
    """By schedule, the coming ticks of each hour. They are what they were a moment ago, but for the minute that begins."""
    now = site.now
    names = [one["schedule"] for one in schedules if one["next_at"] is not None]
    if not names:
        return {}
    key = ("ahead", week.begin, now // 60, *((one["schedule"], one["when"], one["paused"]) for one in schedules))
    told = await site.recent.get(
        key,
        60.0,
        lambda: site.kernel.control.schedules_hours(
            since=max(now, week.begin), until=week.end - 0.001, schedules=names
        ),
    )
    found: dict[str, dict[int, Ahead]] = {}
    for one in told:
        first = epoch(one["at"])
        if first is not None and (one["count"] > 1 or first > now):
            found.setdefault(one["schedule"], {})[int(first // HOUR)] = Ahead(first, one["count"])
    return found


async def bunches_of(site: Site) -> list[Bunch]:
    """The busiest minutes of the next 24 hours, but for what ticks all the time."""
    ticks, counts = await _day_ahead(site)
    return bunches(ticks, {name for name, count in counts.items() if count >= _OFTEN})


async def agenda_of(site: Site, schedules: Sequence[Mapping[str, Any]]) -> Agenda:
    """What these do in the next 24 hours."""
    now, names = site.now, {one["schedule"] for one in schedules}
    ticks, counts = await _day_ahead(site)
    return agenda((one for one in ticks if one.at > now and one.schedule in names), counts, now)


async def _day_ahead(site: Site) -> tuple[list[Tick], dict[str, int]]:
    """The ticks of the next 24 hours, and how many each schedule has; those of the busiest are not all among them."""
    return await site.recent.get("day ahead", 20.0, lambda: _read_day_ahead(site))


async def _read_day_ahead(site: Site) -> tuple[list[Tick], dict[str, int]]:
    control, until = site.kernel.control, site.now + DAY
    told = await control.schedules_upcoming(until=until, limit=_MOST_AHEAD)
    ticks = [Tick(at, one["schedule"]) for one in told["ticks"] if (at := epoch(one["at"])) is not None]
    counts = Counter(one.schedule for one in ticks)
    # Where many tick all the time, these are the ticks of the next minutes only: what ticks at night is asked for.
    for one in told["more"]:
        name, more = one["schedule"], one["more"]
        if counts[name] + more <= OFTEN:
            after = max((at for at, other in ticks if other == name), default=0.0)
            coming = map(epoch, await control.schedules_next(schedule=name, count=counts[name] + more))
            ticks += [Tick(at, name) for at in coming if at is not None and after < at <= until]
        elif not counts[name]:
            ticks += [Tick(at, name) for at in map(epoch, await control.schedules_next(schedule=name, count=1)) if at]
        counts[name] += more
    return ticks, dict(counts)


async def _last_of(site: Site, schedules: Sequence[Mapping[str, Any]]) -> list[Line | None]:
    """The newest line of each; of those that have none in what has been read, it is asked for."""
    found = []
    for schedule in schedules:
        name = schedule["schedule"]
        line = site.ledger.newest(name)
        if line is None:
            line = await site.recent.get(("last", name), 30.0, partial(_newest_line, site, name))
        found.append(line)
    return found


async def _newest_line(site: Site, name: str) -> Line | None:
    since = max(site.now - _LEDGER_DAYS * DAY, 0.0)
    told = await site.kernel.control.schedules_ticks(schedule=name, since=since, until=site.now, limit=1)
    return line_of(told["ticks"][0]) if told["ticks"] else None


def in_zone(instant: Any, schedule: Mapping[str, Any]) -> str:
    """The instant in the schedule's own zone, with the zone: ``Tue 2026-11-24 02:00 CET``."""
    at = epoch(instant)
    if at is None:
        return ""
    zone = ZoneInfo(schedule["timezone"]) if schedule["kind"] == "cron" else UTC
    local = datetime.fromtimestamp(at, zone)
    return local.strftime("%a %Y-%m-%d %H:%M" + (":%S" if local.second else "") + " %Z")


def in_words(schedule: Mapping[str, Any]) -> str:
    """When it ticks: ``At 03:00 every day``, ``Every 10 m``, ``5 s after a start``."""
    if schedule["kind"] == "cron":
        return cron_in_words(schedule["spec"], name=schedule["schedule"])
    told: str = schedule["when"]
    if schedule["kind"] == "after":
        return f"{told.removeprefix('after ')} after a start"
    return told[:1].upper() + told[1:]


def _fits(row: Mapping[str, Any], text: str, shown: str) -> bool:
    if shown == "paused" and not row["paused"]:
        return False
    if shown == "active" and (row["paused"] or not row["job_known"]):
        return False
    return not text or text in row["schedule"].casefold() or text in row["job"].casefold()


def _week_of(text: str, now: float) -> Week:
    day = _day_of(text)
    first = (now // DAY * DAY if day is None else day) - _DAYS_AROUND * DAY
    days = [first + number * DAY for number in range(2 * _DAYS_AROUND + 1)]
    return Week(_date(days[_DAYS_AROUND]), days)


def _day_of(text: str) -> float | None:
    """The first second of a date; None when it is none that a calendar shows."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    if not 1971 <= found.year <= _LAST_YEAR:
        return None
    return datetime(found.year, found.month, found.day, tzinfo=UTC).timestamp()


def _date(day: float) -> date:
    return datetime.fromtimestamp(day, UTC).date()


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else 1


ROUTES = [
    Route("GET", "/schedules", show),
    Route("GET", "/schedules/one", show_one),
    Route("POST", "/schedules/pause", pause),
    Route("POST", "/schedules/resume", resume),
    Route("POST", "/schedules/trigger", trigger),
    Route("POST", "/schedules/remove", remove),
]
