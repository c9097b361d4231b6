"""Stop-watch and percentiles."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any, Self


class Lap:
    """Wall and CPU time of a block that does ``count`` things; CPU is that of all threads of the process."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.wall = self.cpu = 0.0

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_error: object) -> None:
        self.wall = time.perf_counter() - self._wall
        self.cpu = time.process_time() - self._cpu

    def figures(self) -> dict[str, Any]:
        return {"runs_per_second": self.count / self.wall, "cpu_us_per_run": 1e6 * self.cpu / self.count}


def percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    """``NAME_p50`` and ``NAME_p99`` in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {f"{name}_p50": float("nan"), f"{name}_p99": float("nan")}
    return {
        f"{name}_p50": 1000 * ordered[len(ordered) // 2],
        f"{name}_p99": 1000 * ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
    }


def median(rounds: list[Any]) -> Any:
    """Of each figure of several rounds."""
    if isinstance(rounds[0], dict):
        return {key: median([one[key] for one in rounds]) for key in rounds[0]}
    return statistics.median(rounds)


def resident_bytes() -> int:
    """The memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
