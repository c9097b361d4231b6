"""``python -m benchmarks.postgres [--runs N] [--rounds N] [--only PART …] [--json FILE]``: all parts, then the tables.

On one PostgreSQL server: the one that MAINSPRING_BENCH_POSTGRES names, else one that is started for it, with fsync and
synchronous_commit on. Each part has a database and a process of its own; with several rounds the parts are interleaved
and the median of each figure is shown. `make bench-postgres` installs the peers first.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import median
from benchmarks.postgres.server import BenchServer, bench_server
from benchmarks.postgres.table import PASTS
from benchmarks.postgres.worker import DATABASE

PEERS = ("pgqueuer", "procrastinate")
PARTS = ("bare", "mainspring", *PEERS, *(name for name in PASTS if name != "mainspring"))
_RATES = (
    ("drain_1", "drain, 1 process"),
    ("drain_2", "drain, 2 processes"),
    ("bulk_enqueue", "enqueue, lists of 1,000"),
    ("single_enqueue", "enqueue, 50 callers"),
)
_CPUS = (("cpu_us_per_run", "worker"), ("server_us_per_run", "server"))
_IDLES = (("idle", "idle start"), ("idle_from_another", "idle start, enqueued elsewhere"))
_LEAST = 0.9
console = Console(width=None if sys.stdout.isatty() else 160)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.postgres", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="runs of each drain (default 100,000)")
    parser.add_argument("--idle", type=int, default=200, help="runs that come one at a time (default 200; 0 for none)")
    parser.add_argument("--history", type=int, default=1_000_000, help="finished runs of a history (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds; the median of each figure is shown")
    parser.add_argument("--only", nargs="*", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, help="writes all figures there")
    options = parser.parse_args()
    chosen = [part for part in PARTS if part in (options.only or PARTS)]
    missing = [peer for peer in PEERS if peer in chosen and not _version(peer)]
    if missing:
        raise SystemExit(
            f"not installed: {', '.join(missing)}; make bench-postgres installs them, --only leaves them out"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the server and the databases go in any case
    rounds: list[dict[str, Any]] = []
    with bench_server() as server:
        settings = server.settings()
        for number in range(options.rounds):
            figures = {}
            for part in chosen:
                with console.status(f"round {number + 1} of {options.rounds}: {part}"):
                    figures[part] = run_part(part, server, options)
            rounds.append(figures)
    middle = median(rounds)
    show(middle, settings, options)
    if options.json:
        found = {"server": settings, "rounds": rounds, "median": middle}
        options.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


def run_part(part: str, server: BenchServer, options: argparse.Namespace) -> dict[str, Any]:
    command = [
        sys.executable, "-m", "benchmarks.postgres.part", part,
        "--runs", str(options.runs), "--idle", str(options.idle), "--history", str(options.history),
        *(() if server.pid is None else ("--server", str(server.pid))),
    ]  # fmt: skip
    folder = Path(__file__).parents[2]
    with server.database() as url:
        environment = {**os.environ, DATABASE: url}
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    if done.returncode:
        raise SystemExit(f"{part} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(figures: dict[str, Any], settings: dict[str, str], options: argparse.Namespace) -> None:
    console.print("PostgreSQL " + ", ".join(f"{name} {value}" for name, value in settings.items()).partition(" ")[2])
    for part in figures:
        if part in ("bare", "mainspring", *PEERS):
            for line in settings_of(part):
                console.print(f"{part} {_version(part)}".rstrip() + f": {line}", highlight=False)
    systems = {part: figures[part] for part in ("bare", *PEERS, "mainspring") if part in figures}
    pasts = {part: figures[part] for part in PASTS if part in figures}
    if systems:
        console.print(table_of(f"{options.runs:,} runs a drain; ratios to the bare loop", systems, "bare"))
    if len(pasts) > 1:
        title = f"Mainspring, by what ANALYZE saw and with {options.history:,} finished runs; ratios to the first line"
        console.print(table_of(title, pasts, "mainspring"))
    aims = Table("aim", "found", "", title="Aims", title_justify="left")
    for aim, found, is_reached in aims_of(figures):
        aims.add_row(aim, found, "reached" if is_reached else "MISSED")
    if aims.row_count:
        console.print(aims)


def settings_of(part: str) -> tuple[str, ...]:
    from benchmarks.postgres.system import system_of  # noqa: PLC0415 - the peers are imported by those who have them

    return system_of(part).settings


def table_of(title: str, parts: dict[str, Any], first: str) -> Table:
    """Behind each figure its ratio to that of ``first``."""
    table = Table("", *parts, title=title, title_justify="left")
    limit = parts.get(first)
    for key, name in _RATES:
        table.add_row(f"{name}, a second", *(_rate(part, limit, key) for part in parts.values()))
    for key, name in _CPUS:
        table.add_row(
            f"drain, 1 process: {name} µs a run",
            *(f"{part['drain_1'].get(key, float('nan')):.1f}" for part in parts.values()),
        )
    for key, name in _IDLES:
        table.add_row(f"{name}, p50 / p99 ms", *(_idle(part, limit, key) for part in parts.values()))
    return table


def _rate(part: dict[str, Any], limit: dict[str, Any] | None, key: str) -> str:
    rate = part[key]["runs_per_second"]
    return f"{rate:,.0f}" + (f" ({rate / limit[key]['runs_per_second']:.2f})" if limit and limit is not part else "")


def _idle(part: dict[str, Any], limit: dict[str, Any] | None, key: str) -> str:
    if key not in part:
        return "-"
    found = part[key]
    ratio = f" ({found['ms_p50'] / limit[key]['ms_p50']:.2f})" if limit and limit is not part else ""
    return f"{found['ms_p50']:.2f} / {found['ms_p99']:.2f}{ratio}"


def aims_of(figures: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """(aim, what was found, whether it is reached), of those for which all parts were measured."""
    ours = figures.get("mainspring")
    if ours is None:
        return []
    bare = figures.get("bare")
    peers = [figures[peer] for peer in PEERS if peer in figures]
    pasts = [past for past in PASTS if past != "mainspring" and past in figures]
    found: list[tuple[str, str, bool]] = []
    for key, name in _RATES[:2]:
        if peers:
            fastest = max(peers, key=lambda peer: float(peer[key]["runs_per_second"]))
            found.append(_at_least(2.0, f"{name}: at least 2 of the fastest peer", ours, fastest, key))
        if bare:
            found.append(_at_least(0.5, f"{name}: at least 0.5 of the bare loop", ours, bare, key))
    if bare:
        aim = "enqueue, 50 callers: at least 0.5 of the coalesced limit"
        found.append(_at_least(0.5, aim, ours, bare, "single_enqueue"))
    for key, name in _IDLES if "idle" in ours else ():
        if bare:
            ratio = ours[key]["ms_p50"] / bare[key]["ms_p50"]
            found.append((f"{name}, p50: at most 1.5 of the bare LISTEN/NOTIFY", f"{ratio:.2f}", ratio <= 1.5))
        if peers:
            ratio = ours[key]["ms_p50"] / min(peer[key]["ms_p50"] for peer in peers)
            found.append((f"{name}, p50: ahead of every peer", f"{ratio:.2f}", ratio < 1))
    return found + [_holds(past, figures[past], ours) for past in pasts]


def _at_least(times: float, aim: str, ours: dict[str, Any], other: dict[str, Any], key: str) -> tuple[str, str, bool]:
    ratio = ours[key]["runs_per_second"] / other[key]["runs_per_second"]
    return aim, f"{ratio:.2f}", ratio >= times


def _holds(name: str, row: dict[str, Any], ours: dict[str, Any]) -> tuple[str, str, bool]:
    ratios = {label: row[key]["runs_per_second"] / ours[key]["runs_per_second"] for key, label in _RATES}
    ratios |= {label: ours[key]["ms_p50"] / row[key]["ms_p50"] for key, label in _IDLES if key in ours}
    worst = min(ratios, key=lambda label: ratios[label])
    return f"{name}: no figure below {_LEAST}", f"{ratios[worst]:.2f} ({worst})", ratios[worst] >= _LEAST


def _version(part: str) -> str:
    try:
        return version(part)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
