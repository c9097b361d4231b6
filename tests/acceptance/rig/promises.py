"""What must hold of the runs of ``jobs/duties.py``: of their steps and logs, and of what ties one run to another."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from kernel.model.run import RunState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kernel.model.run import Run
    from tests.acceptance.rig.evidence import Left, Line

STEPWISE = {"duties.stepwise", "duties.stepwise_thread"}
LINES = 4
WITHIN_SECONDS = 0.3
RATES = {"duties.rated": 6, "duties.keyed": 6}
RATE_SECONDS = 0.5
_CLOSE_ENOUGH = 0.01
"""Between the clock by which the jobs write and the kernel's."""


class Life(NamedTuple):
    """One life: the store before and after it, and the lines that were written in it; ``words`` are of all lives."""

    number: int
    before: Left
    left: Left
    starts: list[Line]
    deeds: list[Line]
    words: list[Line]


class Promises:
    """Over the lives of one store, in their order."""

    def __init__(self) -> None:
        self._kept: defaultdict[str, set[str]] = defaultdict(set)
        self._done: dict[tuple[str, str], int] = {}
        self._claims: dict[tuple[str, int], tuple[str, float]] = {}
        self._overs: dict[str, float] = {}

    def broken(self, life: Life) -> Iterator[str]:
        """What is wrong; to be asked once a life."""
        self._overs |= {line.run: line.at for line in life.deeds if line.what == "over"}
        yield from self._steps_done(life)
        yield from self._steps_recorded(life.left)
        yield from _logs(life.left)
        yield from _breaker(life, self._overs)
        yield from _dependencies(life, self._overs)
        yield from _keys(life.left)
        yield from _overlaps(life)
        yield from _counted(life)
        # With a clock that was set, the kernel's stretches of time are not those of the runs' instants.
        if not any(word.what == "stepping" for word in life.words):
            yield from _periods(life.left)
            yield from self._rates(life.left)

    def _steps_done(self, life: Life) -> Iterator[str]:
        again: Counter[tuple[str, int]] = Counter()
        for recorded_of, recorded in life.before.steps.items():
            self._kept[recorded_of] |= recorded.keys()
        for line in life.deeds:
            doing, _, number = line.what.partition("-")
            step = f"step-{number}"
            if doing == "kept":
                self._kept[line.run].add(step)
            elif doing == "does":
                if step in self._kept[line.run]:
                    yield f"{line.job} {line.run} has done {step} again in attempt {line.attempt}: it was recorded"
                again[line.run, line.attempt] += (line.run, step) in self._done
                self._done[line.run, step] = line.attempt
        for (run, attempt), count in again.items():
            if count > 1:
                yield f"{run} has done {count} steps again in attempt {attempt}"

    def _steps_recorded(self, left: Left) -> Iterator[str]:
        """The result of a step is the attempt that has done it."""
        for run in _of(left, STEPWISE):
            recorded = left.steps[run.id]
            done = {step: str(self._done.get((run.id, step))) for step in recorded}
            if missing := self._kept[run.id] - recorded.keys():
                yield f"{run.job} {run.id}: {missing} had been done, and are not in the store"
            if recorded != done:
                yield f"{run.job} {run.id} has recorded {recorded}, and has done {done}"
            if run.state == RunState.COMPLETED and run.result != [int(recorded[step]) for step in sorted(recorded)]:
                yield f"{run.job} {run.id} has made {run.result} of the steps {recorded}"

    def _rates(self, left: Left) -> Iterator[str]:
        """Every claim counts, also one whose kernel was killed: which is seen only in the store of that moment."""
        for run in _of(left, RATES):
            if run.started is not None:
                key = run.payload.get("key", "")
                self._claims[run.id, run.attempt] = (f"{run.job} {key}".rstrip(), run.started)
        claims: defaultdict[str, list[float]] = defaultdict(list)
        for limit, started in self._claims.values():
            claims[limit].append(started)
        for limit, instants in claims.items():
            most = RATES[limit.split(" ")[0]]
            instants.sort()
            for first, last in zip(instants, instants[most:], strict=False):
                if last - first < RATE_SECONDS:
                    yield f"{limit}: {most + 1} runs were claimed within {last - first:g} s from {first}"


def _logs(left: Left) -> Iterator[str]:
    for run in _of(left, {"duties.telling"}):
        told: defaultdict[int, list[str]] = defaultdict(list)
        for line in left.logs[run.id].splitlines():
            found = json.loads(line)
            told[found["attempt"]].append(found["text"])
        for attempt, texts in told.items():
            if texts != [f"line-{number}" for number in range(len(texts))]:
                yield f"{run.job} {run.id} has in its log of attempt {attempt}: {texts}"
        if run.state == RunState.COMPLETED and (len(told[run.attempt]) != LINES or run.progress != 1.0):
            yield f"{run.job} {run.id} is completed, with progress {run.progress} and the log {dict(told)}"


def _breaker(life: Life, overs: dict[str, float]) -> Iterator[str]:
    """What a kernel has left behind holds for the next one."""
    row = next((row for row in life.before.breakers if row.name == "partner"), None)
    begun = [line for line in life.starts if line.job == "duties.asking"]
    is_by_hand = any(word.what == "resetting" and word.life == life.number for word in life.words)
    if row is None or row.state == "closed" or not begun or is_by_hand:
        return
    at = begun[0].at + time.time() - time.monotonic()
    if row.state == "open" and row.until is not None and at < row.until - _CLOSE_ENOUGH:
        yield f"the breaker was open, and a run has begun {row.until - at:g} s too early"
    if len(begun) > 1 and not begun[1].at > overs.get(begun[0].run, float("inf")):
        yield f"the breaker was {row.state}, and {begun[1].run} has begun beside {begun[0].run}"


def _dependencies(life: Life, overs: dict[str, float]) -> Iterator[str]:
    left = life.left
    begun = {line.run: line.at for line in reversed(life.starts)}
    edges: defaultdict[str, dict[str, bool]] = defaultdict(dict)
    for edge in left.edges:
        edges[edge.child][edge.parent] = edge.is_open
    for child in _of(left, {"duties.child"}):
        parents = [left.runs[parent] for parent in child.payload["parents"]]
        if edges[child.id].keys() != {parent.id for parent in parents}:
            yield f"{child.id} depends on {[parent.id for parent in parents]}, and has the edges {edges[child.id]}"
        if any(parent.is_final and edges[child.id].get(parent.id) for parent in parents):
            yield f"{child.id} waits for a parent that has ended"
        if any(parent.is_final and parent.state != RunState.COMPLETED for parent in parents):
            is_right = child.state == RunState.CANCELLED and child.attempt == 0
        elif all(parent.is_final for parent in parents):
            is_right = child.state != RunState.BLOCKED
        else:
            is_right = child.state == RunState.BLOCKED and child.attempt == 0
        if not is_right:
            yield f"{child.id} is {child.state}, and its parents are {[str(parent.state) for parent in parents]}"
        for parent in parents:
            if child.id in begun and not overs.get(parent.id, float("inf")) < begun[child.id]:
                yield f"{child.id} has begun before its parent {parent.id} had ended"


def _keys(left: Left) -> Iterator[str]:
    unfinished = [run for run in left.runs.values() if not run.is_final and run.extra is not None]
    held = Counter((run.job, run.extra.unique) for run in unfinished if run.extra and run.extra.unique is not None)
    yield from (f"{job}: {count} unfinished runs have the key {key}" for (job, key), count in held.items() if count > 1)


def _periods(left: Left) -> Iterator[str]:
    """No run is accepted within the period that began with the one before it."""
    runs = sorted((run.extra.unique or "", run.enqueued, run.id) for run in _of(left, {"duties.alone"}) if run.extra)
    for (key, earlier, first), (same, later, second) in itertools.pairwise(runs):
        if key == same and later - earlier < WITHIN_SECONDS:
            yield f"{second} has the key {key} that {first} had taken {later - earlier:g} s before"


def _overlaps(life: Life) -> Iterator[str]:
    """Runs of one concurrency key that have gone on at the same time."""
    going: dict[str, str] = {}
    lines = [line for line in (*life.starts, *life.deeds) if line.job == "duties.keyed" and line.run in life.left.runs]
    for line in sorted(lines, key=lambda line: line.at):
        key = life.left.runs[line.run].payload["key"]
        if line.what == "over":
            going.pop(key, None)
        elif key in going:
            yield f"duties.keyed {line.run} has begun while {going[key]} of the same key went on"
        else:
            going[key] = line.run


def _counted(life: Life) -> Iterator[str]:
    """What a plugin has put is there, and of what it was putting when it was killed all or nothing."""
    counts = [line.attempt for line in life.deeds if line.what == "counts"]
    done = [line.attempt for line in life.deeds if line.what == "counted"]
    first = life.before.counted + 1
    if counts != list(range(first, first + len(counts))) or done != counts[: len(done)]:
        yield f"the plugin's count was {life.before.counted}, and it has counted {done} of {counts}"
    if life.left.counted not in {life.before.counted + len(done), life.before.counted + len(counts)}:
        yield f"the plugin's count was {life.before.counted}, it has counted {done} of {counts}, and {life.left.counted} is left"


def _of(left: Left, jobs: Iterable[str]) -> Iterator[Run]:
    return (run for run in left.runs.values() if run.job in jobs)
