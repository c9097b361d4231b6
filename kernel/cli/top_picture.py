"""What ``mainspring top`` shows, as one JSON document: put together from what the store and the kernels have answered."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

WINDOW_SECONDS = 60.0
MOST_ROWS = 50
_ENDS = ("completed", "failed")
_RUN = (
    "id", "job", "queue", "started_at", "finished_at", "attempt", "kernel", "progress", "progress_text", "stuck", "error",
)  # fmt: skip


class Rates:
    """How many runs have ended a second, in the last minute: from how far the kernels' counts are apart between looks."""

    def __init__(self) -> None:
        self._counts: dict[str, Json] = {}
        self._began: float | None = None
        self._steps: deque[tuple[float, dict[str, int]]] = deque()

    def take(self, at: float, counts: Mapping[str, Json]) -> Json | None:
        """Kernel -> its counts since it started, at this instant; the rates, which there are from the second look on.

        A kernel that is seen for the first time later on has started meanwhile: all that it has counted is new.
        """
        if not counts and self._began is None:
            return None
        added = dict.fromkeys(_ENDS, 0)
        for kernel, now in counts.items():
            before = self._counts.get(kernel, now if self._began is None else {})
            for name in _ENDS:
                added[name] += max(now.get(name, 0) - before.get(name, 0), 0)
        self._counts |= counts
        if self._began is None:
            self._began = at
            return None
        self._steps.append((at, added))
        while self._steps[0][0] <= at - WINDOW_SECONDS:
            self._steps.popleft()
        seconds = min(at - self._began, WINDOW_SECONDS)
        if seconds <= 0:
            return None
        sums = {name: sum(step[name] for _, step in self._steps) for name in _ENDS}
        return {"seconds": round(seconds, 1), **{name: round(sums[name] / seconds, 3) for name in _ENDS}}


def empty_picture(store: str, trouble: str | None = None) -> Json:
    """Where nothing is known."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    empty = picture_of(at, store, kernels=[], said={}, rates=None, running=[], failed=[], queues=[], schedules=[])
    return empty | {"trouble": trouble}


def picture_of(
    at: str,
    store: str,
    *,
    kernels: list[Json],
    said: Mapping[str, Json],
    rates: Json | None,
    running: list[Json],
    failed: list[Json],
    queues: list[Json],
    schedules: list[Json],
) -> Json:
    """``said``: kernel -> what it said of its health, of the kernels on this machine; an ``error`` where it said nothing.

    Figures that only a kernel has are None when none has said them.
    """
    living = [one for one in kernels if one["state"] != "lost"]
    told = [said[one["kernel"]] for one in living if one["kernel"] in said]
    figures = [one for one in told if "concurrency" in one]
    ended = [one["ended"] for one in figures if "ended" in one]
    return {
        "at": at,
        "store": store,
        "trouble": None,
        "healthy": all(one["healthy"] for one in told) if told else None,
        "kernels": [_kernel(one, said.get(one["kernel"], {})) for one in kernels],
        "running": sum(one["running"] for one in (figures or queues)),
        "concurrency": sum(one["concurrency"] for one in figures) if figures else None,
        "waiting": sum(_waiting(queue) for queue in queues),
        "rates": rates if living else None,
        "failed": sum(one["failed"] for one in ended) if ended else None,
        "problems": _problems(kernels, said),
        "runs": [_run(run) for run in sorted(running, key=lambda run: run["started_at"] or "~")][:MOST_ROWS],
        "failures": [
            _run(run) for run in sorted(failed, key=lambda run: run["finished_at"] or "", reverse=True)[:MOST_ROWS]
        ],
        "next": [
            {name: one[name] for name in ("schedule", "job", "when", "next_at")}
            for one in sorted((one for one in schedules if one["next_at"]), key=lambda one: one["next_at"])[:MOST_ROWS]
        ],
        "queues": sorted(queues, key=lambda queue: (-queue["queued"], -queue["running"], queue["queue"])),
    }


def _kernel(kernel: Json, said: Json) -> Json:
    # The store knows how many runs it has claimed, the kernel itself how many of these have begun.
    running = said.get("running", kernel["running"])
    about = {name: kernel[name] for name in ("kernel", "state", "host", "pid", "started_at")}
    return about | {"healthy": said.get("healthy"), "running": running, "concurrency": said.get("concurrency")}


def _waiting(queue: Json) -> int:
    return sum(queue[state] for state in ("queued", "retrying", "scheduled", "blocked"))


def _run(run: Json) -> Json:
    shown = {name: run[name] for name in _RUN}
    if run["error"]:
        shown["error"] = {name: run["error"][name] for name in ("type", "message")}
    return shown


def _problems(kernels: list[Json], said: Mapping[str, Json]) -> list[str]:
    """What several kernels say alike, once; of a kernel that is lost, only that."""
    found: dict[str, None] = {}
    for kernel in kernels:
        name = kernel["kernel"]
        if kernel["state"] == "lost":
            found[f"kernel {name[:8]} on {kernel['host']} is lost: its runs wait for a kernel that takes them up"] = (
                None
            )
            continue
        answer = said.get(name, {})
        found |= dict.fromkeys(answer.get("problems", ()))
        for breaker in answer.get("breakers", ()):
            found[f"the breaker {breaker['breaker']} is {breaker['state']}"] = None
    return list(found)
