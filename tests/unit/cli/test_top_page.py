"""How `mainspring top` arranges what it shows, without a terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from kernel.cli.top_page import page_of
from kernel.cli.top_picture import empty_picture, picture_of

if TYPE_CHECKING:
    from kernel.cli.top_fit import Line

Json = dict[str, Any]
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KERNEL = "0b71c9a2-5f51-47a0-a033-3da1707b611e"
HEALTH = {
    "healthy": True, "problems": [], "breakers": [], "running": 2, "concurrency": 16,
    "ended": {"completed": 900, "failed": 7},
}  # fmt: skip


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def run(number: int, **fields: Any) -> Json:
    return {
        "id": f"01a20b57-4626-7169-99ff-{number:012d}", "job": f"shop.job{number}", "queue": "default", "attempt": 1,
        "started_at": at(-number), "finished_at": None, "kernel": KERNEL, "progress": None, "progress_text": None,
        "stuck": False, "error": None, **fields,
    }  # fmt: skip


def failure(number: int, message: str = "no luck") -> Json:
    error = {"type": "ValueError", "message": message, "traceback": "Traceback: secret path"}
    return run(number, finished_at=at(-number), error=error)


def queue(name: str, **fields: Any) -> Json:
    return {
        "queue": name, "queued": 0, "scheduled": 0, "retrying": 0, "blocked": 0, "running": 0, "concurrency": None,
        "oldest_due_at": None, "paused": False, "paused_until": None, **fields,
    }  # fmt: skip


def schedule(name: str, ahead: float | None) -> Json:
    return {"schedule": name, "job": "shop.job", "when": "every 1 h", "next_at": None if ahead is None else at(ahead)}


def kernel(name: str = KERNEL, **fields: Any) -> Json:
    about = {"kernel": name, "state": "alive", "host": "here", "pid": 42, "started_at": at(-7980), "running": 3}
    return about | fields


def picture(**fields: Any) -> Json:
    given: Json = {
        "kernels": [kernel()], "said": {KERNEL: HEALTH}, "rates": {"seconds": 60.0, "completed": 12.4, "failed": 0.1},
        "running": [run(3), run(75)], "failed": [failure(5)], "queues": [queue("default", running=2)],
        "schedules": [schedule("shop.hourly", 125)],
    }  # fmt: skip
    return picture_of(NOW.isoformat(), "sqlite:///var/store.db", **given | fields)


def full() -> Json:
    return picture(
        said={KERNEL: HEALTH | {"healthy": False, "problems": [f"problem {n}" for n in range(9)]}},
        running=[run(n, progress=0.5, progress_text="wheel") for n in range(40)],
        failed=[failure(n) for n in range(40)],
        queues=[queue(f"queue-{n}") for n in range(40)],
        schedules=[schedule(f"shop.schedule{n}", n) for n in range(40)],
    )


def texts(lines: list[Line]) -> list[str]:
    return ["".join(span.text for span in line).rstrip() for line in lines]


def shown(given: Json, columns: int | None = 80, rows: int | None = 24, **options: Any) -> list[str]:
    return texts(page_of(given, columns, rows, **options))


def titles(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines[3:] if line and line.split()[0].isupper()]


def test_the_header_tells_of_the_kernel_and_its_figures() -> None:
    head = shown(picture(queues=[queue("default", queued=4, blocked=1)]))[:3]

    assert head[0].startswith("mainspring  sqlite:///var/store.db   ")
    assert head[1] == "healthy · up 2 h 13 m · kernel 0b71c9a2 on here, pid 42"
    assert head[2] == "2 of 16 running · 5 waiting · 12/s completed · 6/min failed · 7 since start"


def test_each_table_has_its_rows_and_the_longest_run_comes_first() -> None:
    lines = shown(picture(running=[run(3), run(75, progress=0.4, progress_text="wheel 2")]))

    assert lines[4:7] == [
        "RUNNING        JOB              FOR  PROGRESS",
        "…000000000075  shop.job75  1 m 15 s  ━━━━──────  40%  wheel 2",
        "…000000000003  shop.job3        3 s",
    ]
    assert lines[8:10] == ["FAILED         JOB        AGO  ERROR", "…000000000005  shop.job5  5 s  ValueError: no luck"]
    assert lines[11:13] == ["NEXT              IN  WHEN       JOB", "shop.hourly  2 m 5 s  every 1 h  shop.job"]
    assert lines[14:] == [
        "QUEUE    QUEUED  OLDEST  RUNNING  LATER  STATE",
        "default       0       -        2      0  on",
    ]


def test_on_a_wide_terminal_and_without_one_ids_are_whole() -> None:
    assert any(line.startswith(run(75)["id"]) for line in shown(picture(), 120))
    assert any(line.startswith(run(75)["id"]) for line in shown(picture(), None, None))


def test_a_paused_queue_tells_for_how_long_and_a_limit_stands_beside_what_runs() -> None:
    paused = queue("naps", queued=3, running=2, concurrency=4, paused=True, paused_until=at(90), oldest_due_at=at(-61))

    assert shown(picture(queues=[paused, queue("default")]))[-2:] == [
        "naps          3  1 m 1 s   2 of 4      0  paused for 1 m 30 s",
        "default       0        -        0      0  on",
    ]
    assert shown(picture(queues=[queue("naps", paused=True)]))[-1].endswith("paused")


def test_problems_of_several_kernels_stand_there_once_and_a_lost_one_says_nothing_else() -> None:
    others = [kernel("1" * 36), kernel("2" * 36, state="lost")]
    sick = {"healthy": False, "problems": ["the store is slow"], "breakers": [{"breaker": "partner", "state": "open"}]}
    lines = shown(
        picture(kernels=[kernel(), *others], said={KERNEL: HEALTH | sick, "1" * 36: HEALTH | sick, "2" * 36: sick}),
        rows=40,
    )

    assert lines[1] == "unhealthy · up 2 h 13 m · 2 kernels"
    assert lines[2].startswith("4 of 32 running")
    assert lines[4:8] == [
        "LATE OR WRONG",
        "the store is slow",
        "the breaker partner is open",
        "kernel 22222222 on here is lost: its runs wait for a kernel that takes them up",
    ]
    assert [line.split()[:2] for line in lines[-3:]] == [
        ["0b71c9a2", "unhealthy"], ["11111111", "unhealthy"], ["22222222", "lost"],
    ]  # fmt: skip


def test_kernels_that_have_said_nothing_have_no_health_and_the_queues_tell_what_runs() -> None:
    lines = shown(picture(said={}, queues=[queue("a", running=2), queue("b", running=1)]))

    assert lines[1].startswith("health unknown · ")
    assert lines[2] == "3 running · 0 waiting · 12/s completed · 6/min failed"


def test_without_a_kernel_a_line_says_so_and_the_rates_go() -> None:
    lines = shown(picture(kernels=[], said={}))

    assert lines[1:3] == ["no kernel is alive: start one by `mainspring run`", "2 running · 0 waiting"]
    assert "shop.hourly" in "\n".join(lines)


def test_where_nothing_is_known_nothing_is_said_to_be_none() -> None:
    lines = shown(empty_picture("memory://", "no kernel is alive in var/run"), foot="q ends it")

    assert lines[0].startswith("mainspring  memory://  ")
    assert "as of" in lines[0]
    assert (lines[1], set(lines[2:-1]), lines[-1]) == ("no kernel is alive in var/run", {""}, "q ends it")


def test_in_trouble_the_last_tables_stay_and_health_is_not_claimed() -> None:
    lines = shown(picture() | {"trouble": "the store does not answer"})

    assert lines[1] == "the store does not answer"
    assert "healthy" not in "\n".join(lines)
    assert "shop.job75" in "\n".join(lines)


def test_empty_tables_say_what_there_is_none_of() -> None:
    lines = shown(picture(running=[], failed=[], queues=[], schedules=[]))

    assert [line for line in lines[3:] if line] == [
        "RUNNING  nothing runs",
        "FAILED  no run that is kept has failed",
        "NEXT  no schedule has a tick ahead",
        "QUEUE  no queue has a run",
    ]


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 12, 16, 24, 50, 200])
@pytest.mark.parametrize("columns", [1, 10, 20, 40, 80, 132, 300])
def test_it_fits_a_terminal_of_any_size(columns: int, rows: int) -> None:
    odd = full()
    odd["runs"][0] |= {
        "job": "\N{CJK UNIFIED IDEOGRAPH-4F60}" * 90,
        "progress_text": "\N{CJK UNIFIED IDEOGRAPH-4F60}" * 90,
    }
    for given in (odd, picture(), empty_picture("x" * 200, "trouble " * 40)):
        lines = page_of(given, columns, rows, foot="q ends it")

        assert len(lines) <= rows
        assert max(sum(cell_len(span.text) for span in line) for line in lines) <= columns


def test_80_by_24_has_some_of_everything_and_uses_every_line() -> None:
    lines = shown(full(), foot="q ends it")

    assert titles(lines) == ["LATE", "RUNNING", "FAILED", "NEXT", "QUEUE"]
    assert len(lines) == 24
    assert lines[-1] == "q ends it"
    assert lines[:-1].count("") == 5


def test_the_smaller_the_terminal_the_fewer_of_the_last_tables_are_there() -> None:
    seen = [titles(shown(full(), rows=rows)) for rows in (20, 11, 9, 7, 5)]

    assert seen == [
        ["LATE", "RUNNING", "FAILED", "NEXT", "QUEUE"],
        ["LATE", "RUNNING", "FAILED", "NEXT"],
        ["LATE", "RUNNING", "FAILED"],
        ["LATE", "RUNNING"],
        ["LATE"],
    ]


def test_no_table_takes_the_place_of_a_more_important_one_that_has_no_room() -> None:
    assert titles(shown(full() | {"queues": []}, rows=10)) == ["LATE", "RUNNING", "FAILED"]


def test_rows_that_are_left_out_are_counted_at_the_titles_end() -> None:
    [title] = [line for line in shown(full()) if line.startswith("NEXT")]

    assert title.endswith(" more")
    assert len(title) == 80
    assert sum("shop.schedule" in line for line in shown(full())) + int(title.split()[-2]) == 40


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (60, "shop.hourly  2 m 5 s  every 1 h  shop.job"),
        (32, "shop.hourly  2 m 5 s  every 1 h"),
        (30, "shop.hourly  2 m 5 s  every 1…"),
        (28, "shop.hourly  2 m 5 s"),
    ],
)
def test_columns_that_have_no_room_are_cut_and_then_go(columns: int, expected: str) -> None:
    assert [line for line in shown(picture(), columns) if line.startswith("shop.hourly")] == [expected]


HOSTILE = "\x1b[2J[red]x[/red]\r\n\x07\x9b\N{RIGHT-TO-LEFT OVERRIDE}\N{HEBREW LETTER ALEF}\N{ZERO WIDTH JOINER}\x00"


def test_no_text_drives_the_terminal_and_markup_is_plain_text() -> None:
    given = picture(
        kernels=[kernel(host=HOSTILE), kernel("3" * 36, host=HOSTILE, state="lost")],
        said={
            KERNEL: HEALTH
            | {"healthy": False, "problems": [HOSTILE], "breakers": [{"breaker": HOSTILE, "state": "open"}]}
        },
        running=[run(1, job=HOSTILE, progress=0.1, progress_text=HOSTILE)],
        failed=[failure(1, HOSTILE) | {"job": HOSTILE}],
        queues=[queue(HOSTILE)],
        schedules=[schedule(HOSTILE, 1) | {"job": HOSTILE, "when": HOSTILE}],
    )
    for size in ((200, 60), (None, None)):
        text = "".join(shown(given | {"store": HOSTILE}, *size))

        assert text.isprintable()
        assert text.count("[red]x[/red]") >= 9
    assert "".join(shown(picture() | {"trouble": HOSTILE})).isprintable()


def test_of_an_error_the_first_line_is_shown_and_no_traceback() -> None:
    lines = shown(picture(failed=[failure(1, "it broke\nwith more")]))

    assert "ValueError: it broke" in "\n".join(lines)
    assert "more" not in "\n".join(lines)
    assert "secret" not in str(picture()["failures"])


def test_a_terminal_that_has_ascii_alone_gets_ascii_of_ours() -> None:
    text = "\n".join(shown(full(), is_utf8=False))

    assert text.isascii()
    assert "=====-----  50%" in text
