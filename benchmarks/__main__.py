"""``python -m benchmarks [--runs N] [--rounds N] [--only PART …] [--json FILE]``: all parts in turn, then the tables.

Each part runs in a process of its own; with several rounds the parts are interleaved and the median is shown.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import web
from benchmarks.measure import median

PARTS = [
    "bare-heap", "bare-priority-queue", "memory", "memory-features", "bare-sqlite", "sqlite", "sqlite-features",
    "sqlite-observers", "web", "bare-aiocron", "schedules",
]  # fmt: skip
console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="runs of each queue part (default 100,000)")
    parser.add_argument("--schedules", type=int, default=10_000, help="schedules (default 10,000)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds; the median of each figure is shown")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="these parts only")
    parser.add_argument("--json", type=Path, help="writes all figures there")
    options = parser.parse_args()
    chosen = options.only or PARTS
    rounds: list[dict[str, Any]] = []
    for number in range(options.rounds):
        figures = {}
        for part in chosen:
            with console.status(f"round {number + 1} of {options.rounds}: {part}"):
                count = options.schedules if part in ("bare-aiocron", "schedules") else options.runs
                figures[part] = run_part(part, count)
        rounds.append(figures)
    middle = {part: median([figures[part] for figures in rounds]) for part in chosen}
    show(middle)
    if options.json:
        options.json.write_text(json.dumps({"rounds": rounds, "median": middle}, indent=2), encoding="utf-8")


def run_part(part: str, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.parts", part, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    if done.returncode:
        raise SystemExit(f"{part} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(figures: dict[str, Any]) -> None:
    show_queue(
        "In memory", figures.get("memory"), figures.get("bare-heap"), "bare heap", figures.get("bare-priority-queue")
    )
    show_queue("SQLite file, FULL", figures.get("sqlite"), figures.get("bare-sqlite"), "bare sqlite3", None)
    for store in ("memory", "sqlite"):
        if f"{store}-features" in figures:
            show_features(f"One feature of the queue each, {store}", figures[f"{store}-features"], "noop")
    if "sqlite-observers" in figures:
        show_features("Health, notify, heartbeat and metrics, SQLite", figures["sqlite-observers"], "none")
    if "web" in figures:
        for title, columns, rows in web.tables(figures["web"]):
            table = Table(*columns, title=title, title_justify="left")
            for row in rows:
                table.add_row(*row)
            console.print(table)
    show_schedules(figures.get("schedules"), figures.get("bare-aiocron"))


def show_queue(
    title: str, ours: dict[str, Any] | None, limit: dict[str, Any] | None, name: str, other: dict[str, Any] | None
) -> None:
    table = Table("", "runs/s", "CPU µs a run", f"of {name}", title=title, title_justify="left")
    bare = limit["runs_per_second"] if limit else None
    for label, row in ((name, limit), ("asyncio.PriorityQueue, 100 workers", other)):
        if row:
            table.add_row(label, *speeds(row, bare))
    if ours:
        for label, key in (
            ("Mainspring, end to end", "end_to_end"),
            ("Mainspring, bulk enqueue", "bulk_enqueue"),
            ("Mainspring, drain of a backlog", "drain"),
            ("Mainspring, 50 callers awaiting single enqueues", "callers"),
        ):
            table.add_row(label, *speeds(ours[key], bare))
    if ours or limit or other:
        console.print(table)
    if limit and "latency_ms_p50" in limit:
        console.print(
            f"{name}, one at a time: p50 {limit['latency_ms_p50']:.2f} ms, p99 {limit['latency_ms_p99']:.2f} ms"
        )
    if ours:
        console.print(
            f"enqueue to start, idle: p50 {ours['latency_ms_p50']:.2f} ms, p99 {ours['latency_ms_p99']:.2f} ms; "
            f"{ours['bytes_per_waiting_run']:.0f} bytes a waiting run\n"
        )


def show_features(title: str, figures: dict[str, Any], plain: str) -> None:
    table = Table("", "runs/s", "CPU µs a run", "of none", title=title, title_justify="left")
    for name, row in figures.items():
        table.add_row(name, *speeds(row, figures[plain]["runs_per_second"]))
    console.print(table)


def speeds(row: dict[str, Any], bare: float | None) -> tuple[str, str, str]:
    ratio = f"{row['runs_per_second'] / bare:.2f}" if bare else "-"
    return f"{row['runs_per_second']:,.0f}", f"{row['cpu_us_per_run']:.1f}", ratio


def show_schedules(ours: dict[str, Any] | None, limit: dict[str, Any] | None) -> None:
    table = Table(
        "", "start s", "CPU %", "ticks/s", "lateness p50 ms", "p99 ms", title="Schedules", title_justify="left"
    )
    if limit:
        table.add_row(
            "bare aiocron", f"{limit['start_seconds']:.2f}", f"{limit['cpu_percent']:.1f}",
            f"{limit['ticks_per_second']:.0f}", f"{limit['lateness_ms_p50']:.1f}", f"{limit['lateness_ms_p99']:.1f}",
        )  # fmt: skip
    if ours:
        table.add_row(
            "Mainspring, ticking", f"{ours['busy_start_seconds']:.2f}", f"{ours['busy_cpu_percent']:.1f}",
            f"{ours['ticks_per_second']:.0f}", f"{ours['lateness_ms_p50']:.1f}", f"{ours['lateness_ms_p99']:.1f}",
        )  # fmt: skip
        table.add_row(
            "Mainspring, nothing due",
            f"{ours['idle_start_seconds']:.2f}",
            f"{ours['idle_cpu_percent']:.1f}",
            "0",
            "",
            "",
        )
    if ours or limit:
        console.print(table)


if __name__ == "__main__":
    main()
