"""What many kernels on one PostgreSQL are given to do, and what is wrong with what has come of it.

Each execution is written down by the job itself (``jobs/works.py``), in a file of the program that it is in.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel import Client
from kernel.contracts.store import RunQuery
from kernel.model.errors import StoreError
from kernel.model.run import WAITING, RunState
from kernel.testing import until
from plugins.postgres.store import PostgresStore
from tests.acceptance.rig.evidence import NOTHING, lines_of, ticks_until, wrong_in_the_ledger
from tests.acceptance.rig.kill_points import ROOT
from tests.acceptance.rig.program import JOBS, Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from kernel.model.run import Run
    from tests.acceptance.rig.evidence import Left, Line

LIMIT = 90.0
QUICK_LEASE = 4.0
"""For stories in which a lease runs out, and which need not be of the real one."""
_ALL = 10_000_000
_WRITTEN_SECONDS = 2.0
"""After so long an outcome is in the store, of a kernel that could write it."""
_COMPLETED = re.compile(r'event="run completed" .*\brun=(\S+) attempt=(\d+)')
STRICT = {"works.beat", "shop.beat"}
"""Schedules of which every tick makes a run."""


class Harm(NamedTuple):
    """What a program has been through, as ``time.monotonic``: from when on what it came to may not have been written,
    and from when on it may not have begun what another one has to do again.
    """

    since: float
    until: float


class Works:
    """A folder with a plugins.toml for all programs. ``lives`` are those that were made, in their order."""

    def __init__(self, folder: Path, url: str, *kernel: str, plugins: str = "[plugins.works]") -> None:
        self.folder = folder
        self.url = url
        self.accepted: set[str] = set()
        self.lives: list[Program] = []
        self.harmed: dict[int, Harm] = {}
        lines = [
            "[kernel]", 'store = "${WORKS_STORE}"', f'plugin_dirs = ["{JOBS}", "plugins"]', 'run_dir = "."',
            "concurrency = 10", *kernel, plugins,
        ]  # fmt: skip
        (folder / "plugins").mkdir()
        (folder / "plugins.toml").write_text("\n".join(lines) + "\n")

    def member(self, url: str | None = None, *, lease: float | None = None, ahead: float = 0.0) -> Program:
        """The next program, not started yet. ``lease`` in seconds; ``ahead``: by how much its machine's clock is."""
        environment = {"WORKS_STORE": url or self.url, "MEMBER_AHEAD": str(ahead)}
        if lease is not None:
            environment["MEMBER_LEASE"] = str(lease)
        self.lives.append(
            Program(self.folder, len(self.lives), module="tests.acceptance.rig.member", environment=environment)
        )
        return self.lives[-1]

    # What they are given

    async def enqueue(self, count: int, seconds: float, job: str = "works.piece", **options: Any) -> list[str]:
        """So many pieces of work, each of which takes so long; their ids."""
        async with Client(self.url) as client:
            ids = [run.id for run in await client.enqueue_many([(job, {"seconds": seconds}, options)] * count)]
        self.accepted.update(ids)
        return ids

    async def have_begun_long_ones(self, *programs: Program) -> None:
        """Gives them what takes long, and waits until each of these has begun some: they have something to lose."""
        await self.enqueue(8 * len(self.lives), 2.0, "works.long", priority=0)

        def have_begun() -> bool:
            return all(any(line.job == "works.long" for line in program.journal) for program in programs)

        await until(have_begun, LIMIT)

    async def take_part(self, *programs: Program, job: str = "works.long") -> float:
        """Gives all of them more and more to do until each of these has begun some of it; how many seconds it took.

        A job of which each kernel takes a few only: else one may well have it all.
        """
        begun_at = time.monotonic()

        def idle() -> list[int]:
            begun = (
                (one, [line for line in one.journal if line.at > begun_at and line.job == job]) for one in programs
            )
            return [one.life for one, lines in begun if not lines]

        while left := idle():
            assert time.monotonic() - begun_at < LIMIT, f"{left} begin nothing\n{self.logs()}"
            await self.enqueue(5 * len(self.lives), 0.2, job)
            await asyncio.sleep(0.3)
        return time.monotonic() - begun_at

    # What can be seen of them

    def begun(self) -> int:
        """How many pieces have begun by now, anywhere."""
        return sum(line.job == "works.piece" for program in self.lives for line in program.journal)

    def over(self) -> int:
        return sum(line.job == "works.piece" for line in self._deeds())

    def _deeds(self) -> list[Line]:
        return [line for program in self.lives for line in lines_of(self.folder, "deeds", program.life)]

    async def all_ended(self, limit: float = LIMIT) -> None:
        """Waits until all that was accepted has ended."""
        unfinished = RunQuery(ids=sorted(self.accepted), states=[*WAITING, RunState.RUNNING], limit=3)

        async def has_ended(store: PostgresStore) -> bool:
            return not await store.runs(unfinished)

        await self.comes_about(has_ended, limit)

    async def comes_about(self, condition: Callable[[PostgresStore], Awaitable[bool]], limit: float = LIMIT) -> float:
        """Waits until it is so in the store, and for the store itself; how many seconds it took."""
        begun_at = time.monotonic()
        store = PostgresStore(self.url)
        is_open = False
        try:
            while True:
                try:
                    if not is_open:
                        await store.open(None)
                        is_open = True
                    if await condition(store):
                        return time.monotonic() - begun_at
                except StoreError:
                    pass  # the server is away
                assert time.monotonic() - begun_at < limit, f"did not happen within {limit:g} s\n{self.logs()}"
                await asyncio.sleep(0.05)
        finally:
            await store.close()

    async def is_free(self, kernel: str) -> float:
        """Waits until nothing is held by this kernel any more; how many seconds it took."""

        async def holds_nothing(store: PostgresStore) -> bool:
            return all(run.kernel != kernel for run in await _running(store))

        return await self.comes_about(holds_nothing)

    async def has_members(self, *programs: Program) -> None:
        """Waits until these, and no others, are in the list of kernels, all alive."""
        wanted = {program.process.pid for program in programs}

        async def all_there(store: PostgresStore) -> bool:
            rows = {one.kernel.pid: one.is_alive for one in await store.members()}
            return rows.keys() == wanted and all(rows.values())

        await self.comes_about(all_there)
        assert {row["pid"]: row["state"] for row in await self.kernels()} == dict.fromkeys(wanted, "alive")

    async def kernel_of(self, program: Program) -> str:
        """Its id as a kernel."""
        [kernel] = [str(row["kernel"]) for row in await self.kernels() if row["pid"] == program.process.pid]
        return kernel

    async def kernels(self) -> list[dict[str, Any]]:
        """As `mainspring kernels list` has them."""
        return json.loads((await self.command("kernels", "list", "--json")).stdout)  # type: ignore[no-any-return] # a list

    async def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(self._command, arguments)

    def commands(self, *commands: tuple[str, ...]) -> list[subprocess.CompletedProcess[str]]:
        """Carried out all at once."""
        with ThreadPoolExecutor(len(commands)) as threads:
            return list(threads.map(self._command, commands))

    def _command(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kernel", *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "WORKS_STORE": self.url},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    def logs(self) -> str:
        """What the kernels said, but for what went well."""
        said = [warnings_of(program) for program in self.lives]
        return "\n".join(line for life, lines in enumerate(said) for line in [f"--- kernel {life}", *lines[-30:]])

    # What is wrong with it

    async def wrong(self) -> list[str]:
        """When all have ended: runs that are lost, doubled or not completed, and ticks that are."""
        left = await self._left()
        return [
            *self._not_done(left), *self._done_again(left), *self._told_wrongly(left), *wrong_in_the_ledger(left),
            *_ticks_without_run(left),
            *(f"kernel {program.life}: a traceback in its log" for program in self.lives if "Traceback" in program.log),
        ]  # fmt: skip

    async def runs(self) -> list[Run]:
        """All that are in the store."""
        store = PostgresStore(self.url)
        await store.open(None)
        runs = await store.runs(RunQuery(limit=_ALL))
        await store.close()
        return runs

    async def _left(self) -> Left:
        runs = {run.id: run for run in await self.runs()}
        store = PostgresStore(self.url)
        await store.open(None)
        schedules = await store.schedules()
        ticks = {row.name: await store.ticks(row.name, -math.inf, math.inf, _ALL) for row in schedules}
        await store.close()
        return NOTHING._replace(runs=runs, schedules=schedules, ticks=ticks)

    def _not_done(self, left: Left) -> Iterator[str]:
        for missing in sorted(self.accepted - left.runs.keys()):
            yield f"{missing} was accepted and is lost"
        for run in left.runs.values():
            if run.state != RunState.COMPLETED:
                yield f"{run.job} {run.id} is {run.state}, {run.reason}"
            elif run.result != run.attempt:
                yield f"{run.job} {run.id}: attempt {run.attempt} is recorded with the result of {run.result}"
            if run.losses and not self.harmed:
                yield f"{run.job} {run.id} was lost, and no kernel had come to harm"
            if run.failures:
                yield f"{run.job} {run.id} has {run.failures} failures"

    def _told_wrongly(self, left: Left) -> Iterator[str]:
        """That a run has completed is told by the kernel whose outcome was taken, and once."""
        told = [(program.life, *found) for program in self.lives for found in _COMPLETED.findall(program.log)]
        for life, run, attempt in told:
            if run in left.runs and int(attempt) != left.runs[run].attempt:
                yield f"{run}: kernel {life} tells that attempt {attempt} has completed, not {left.runs[run].attempt}"
        for run, count in Counter(run for _, run, _ in told).items():
            if count > 1:
                yield f"{run}: that it has completed is told {count} times"

    def _done_again(self, left: Left) -> Iterator[str]:
        """A run is executed once, but for what a program that came to harm had begun before."""
        begun: defaultdict[str, list[Line]] = defaultdict(list)
        over = {(line.life, line.run, line.attempt): line.at for line in self._deeds()}
        for program in self.lives:
            for line in program.journal:
                begun[line.run].append(line)
        for run in left.runs.values():
            counting = [line for line in begun[run.id] if line.attempt == run.attempt]
            if len(counting) != 1:
                yield f"{run.job} {run.id}: attempt {run.attempt} is recorded, which has begun {len(counting)} times"
            for line in begun[run.id]:
                if line.attempt != run.attempt:
                    yield from self._out_of_turn(run, line, over.get((line.life, line.run, line.attempt), math.inf))
        for stranger in begun.keys() - left.runs.keys():
            yield f"{stranger} has begun and is not in the store"

    def _out_of_turn(self, run: Run, line: Line, over_at: float) -> Iterator[str]:
        what = f"{run.job} {run.id}: kernel {line.life} began attempt {line.attempt} of {run.attempt}"
        harm = self.harmed.get(line.life)
        if harm is None:
            yield f"{what}, and nothing had happened to it"
        elif line.at > harm.until:
            yield f"{what} {line.at - harm.until:.3f} s later than it may"
        elif over_at < harm.since - _WRITTEN_SECONDS:
            yield f"{what}, and was through {harm.since - over_at:.1f} s before anything happened to it"


def _ticks_without_run(left: Left) -> Iterator[str]:
    for row in left.schedules:
        if row.name in STRICT:
            due = ticks_until(row.anchor, row.schedule.interval, row.looked_until)
            made = [run for run in left.runs.values() if run.schedule == row.name]
            if len(made) != due:
                yield f"{row.name}: {due} ticks were due, and made {len(made)} runs: {_results(left, row.name)}"


def _results(left: Left, schedule: str) -> Mapping[str, int]:
    counted: defaultdict[str, int] = defaultdict(int)
    for tick in left.ticks[schedule]:
        counted[f"{tick.result} {tick.reason or ''}".strip()] += tick.count
    return counted


@asynccontextmanager
async def at_work(*members: Program) -> AsyncIterator[list[Program]]:
    """All of these are started, and up; killed at the end if they are still there."""
    async with AsyncExitStack() as stack:
        started = [stack.enter_context(member) for member in members]
        for member in started:
            await member.says("ready: ", LIMIT)
        yield started


async def stop(*members: Program) -> None:
    """As a service manager does; each ends in order."""
    for member in members:
        member.send(signal.SIGTERM)
    for member in members:
        assert await member.ended(LIMIT) == 0, member.log[-4000:]


def warnings_of(member: Program, since: int = 0) -> list[str]:
    """What it has warned of since its log was so long."""
    return [line for line in member.log[since:].splitlines() if " level=info " not in line]


async def _running(store: PostgresStore) -> list[Run]:
    return await store.runs(RunQuery(states=[RunState.RUNNING], limit=_ALL))
