"""Whether the aims of the PostgreSQL benchmark are reached is read from its figures."""

from __future__ import annotations

from typing import Any

from benchmarks.postgres.__main__ import aims_of


def figures(rate: float, idle: float = 1.0, **others: float) -> dict[str, Any]:
    keys = ("drain_1", "drain_2", "bulk_enqueue", "single_enqueue")
    rates: dict[str, Any] = {key: {"runs_per_second": others.get(key, rate)} for key in keys}
    return rates | {key: {"ms_p50": idle, "ms_p99": 2 * idle} for key in ("idle", "idle_from_another")}


def missed(parts: dict[str, Any]) -> list[tuple[str, str]]:
    return [(aim, found) for aim, found, is_reached in aims_of(parts) if not is_reached]


def test_each_aim_is_reached_by_figures_that_reach_it() -> None:
    parts = {
        "bare": figures(60_000, idle=1.0),
        "pgqueuer": figures(15_000, idle=2.0),
        "procrastinate": figures(500, idle=3.0),
        "mainspring": figures(30_000, idle=1.5),
        "history": figures(27_000, idle=1.6),
    }

    assert missed(parts) == []
    assert len(aims_of(parts)) == 10


def test_twice_the_fastest_of_the_peers_is_asked_for_and_not_of_any() -> None:
    parts = {
        "pgqueuer": figures(500),
        "procrastinate": figures(500, drain_2=20_000),
        "mainspring": figures(30_000, idle=0.5),
    }

    assert missed(parts) == [("drain, 2 processes: at least 2 of the fastest peer", "1.50")]


def test_a_slow_idle_start_is_missed_beside_the_bare_one_and_beside_a_peer() -> None:
    parts = {"bare": figures(1), "procrastinate": figures(0.1, idle=1.5), "mainspring": figures(1, idle=1.6)}

    assert missed(parts) == [
        ("idle start, p50: at most 1.5 of the bare LISTEN/NOTIFY", "1.60"),
        ("idle start, p50: ahead of every peer", "1.07"),
        ("idle start, enqueued elsewhere, p50: at most 1.5 of the bare LISTEN/NOTIFY", "1.60"),
        ("idle start, enqueued elsewhere, p50: ahead of every peer", "1.07"),
    ]


def test_the_figure_that_falls_most_with_a_history_is_named() -> None:
    parts = {"mainspring": figures(1_000), "history": figures(950, drain_2=890)}

    assert missed(parts) == [("history: no figure below 0.9", "0.89 (drain, 2 processes)")]


def test_nothing_is_asked_for_of_parts_that_were_not_measured() -> None:
    assert aims_of({"bare": figures(1)}) == []
    assert aims_of({"mainspring": figures(1)}) == []
