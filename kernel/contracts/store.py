"""What a store must provide: batch-first, with no policy in it; what states and times become is decided in ``model``.

Every call is one transaction: all of it is durable when it returns, or none of it happened and StoreError is raised.
Calls made in one turn of the loop are carried out in the order in which they were made, if possible in one commit.
``tests/contracts/store_contract.py`` is the promise in executable form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kernel.model.job import Keep
    from kernel.model.run import Change, Claimed, NewRun, Run
    from kernel.model.schedule import ScheduleRow, Tick


class Claim(NamedTuple):
    """What a kernel asks for: up to ``limit`` queued runs, most urgent first, of lanes (queue, job) that have room.

    ``jobs``: job -> room; a job that is not in it is not claimed at all. ``queues``: queue -> room; one that is not
    in it has no limit of its own. A room of 0 excludes. ``before``: only runs of a smaller urgency than this.
    """

    kernel: str
    now: float
    limit: int
    jobs: Mapping[str, int]
    queues: Mapping[str, int]
    before: float | None = None


class Claims(NamedTuple):
    """``next_due``: when the earliest run that is not due yet, of whatever job, becomes so, None when there is none.

    ``expired``: waiting runs whose ``expires`` has come; this call ended them, with the reason "expired".
    """

    runs: list[Claimed]
    next_due: float | None
    expired: list[Run]


class Look(NamedTuple):
    """One look at one schedule. It counts only if the row's ``looked_until`` still is ``expected``, which becomes ``until``."""

    schedule: str
    expected: float
    until: float


class Looked(NamedTuple):
    """What a look does: runs to insert, ledger lines to write, unfinished runs of the schedule to cancel, and why."""

    runs: Sequence[NewRun] = ()
    ticks: Sequence[Tick] = ()
    cancel: Sequence[str] = ()
    cancel_reason: str = ""


class Unfinished(NamedTuple):
    """An unfinished run of a schedule, as ``decide`` sees it."""

    id: str
    state: str


class Ended(NamedTuple):
    """What became of a wish to cancel or retry: the run's state before and after."""

    id: str
    job: str
    queue: str
    before: str
    after: str


class RunQuery(NamedTuple):
    """A filter of runs; newest first. ``before`` is the id of the last run of the page before."""

    ids: Sequence[str] | None = None
    states: Sequence[str] | None = None
    job: str | None = None
    queue: str | None = None
    schedule: str | None = None
    tag: str | None = None
    limit: int = 50
    before: str | None = None


class QueueRow(NamedTuple):
    """A queue that has runs or a pause. ``oldest_due``: of the queued ones. ``paused_until``: inf is until resumed."""

    name: str
    queued: int
    scheduled: int
    retrying: int
    blocked: int
    running: int
    oldest_due: float | None
    paused_until: float | None


class KernelRow(NamedTuple):
    id: str
    pid: int
    host: str
    boot: str
    started: float
    seen: float
    socket: str


class Announced(NamedTuple):
    """A job as a kernel announces it to clients: policies, payload schema and so on, as JSON text."""

    job: str
    plugin: str
    queue: str
    info: str


class Signals(NamedTuple):
    """Counters that grow when an operator's change was written: a kernel re-reads what grew.

    ``schedules``: put, removed or paused (not looked at). ``queues``: paused. ``cancels``: wanted of a running run.
    """

    schedules: int
    queues: int
    cancels: int


class Store(Protocol):
    """Instants are epoch seconds, texts are JSON where the model says so, and lists keep their order."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""

    @property
    def is_durable(self) -> bool: ...

    # Life

    async def open(self, kernel: KernelRow | None) -> list[Run]:
        """Opens it, bringing the schema up to date. As a ``kernel`` (a client gives None) it takes the store's lock if it has one.

        What a dead kernel had claimed is ``queued`` again (tokens stay as they are, the next claim's is larger); those
        runs are returned. ConfigError (StoreLockedError) when it cannot be used; StoreError when trying again may help.
        """

    async def close(self) -> None:
        """Writes what it was given, then lets go of everything. May be called twice."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """``callback`` is called on the loop, within 100 ms, when another process has changed the store."""

    async def signals(self) -> Signals: ...

    # The way of a run

    async def enqueue(self, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
        """Inserts all or none; the id that each stands for: its own, or that of the unfinished run of its (job, unique).

        A run whose id is there already is left alone. ``room``: queue -> the most waiting runs it may hold; past it
        StoreFullError names the queue and nothing is inserted.
        """

    async def claim(self, claim: Claim) -> Claims:
        """Makes due runs ``queued``, expires what has waited too long to begin, and claims: running, token + 1, attempt + 1."""

    async def finish(self, changes: Sequence[Change]) -> list[bool]:
        """Writes each change whose (id, token) is still the running one's; False for the stale, which change nothing.

        A change without ``error`` keeps the last one. A final change frees the run's unique key and, with ``schedule``,
        lets the next blocked run of that schedule go; so does every other end of a run. The next is the one of the oldest
        tick, once nothing but blocked runs of the schedule is unfinished: it is queued when it is due, else scheduled.
        """

    async def stick(self, ids: Sequence[str]) -> None:
        """Marks running runs as stuck."""

    async def cancel(self, ids: Sequence[str], reason: str, now: float) -> list[Ended]:
        """Waiting runs become cancelled; running ones keep running with ``cancel_reason`` set. Unknown ids are left out.

        The wish stays with a run that waits again, until it has ended or is retried by hand.
        """

    async def cancels(self, kernel: str) -> list[tuple[str, int, str]]:
        """(id, token, reason) of the runs of this kernel that somebody wants cancelled."""

    async def retry(self, ids: Sequence[str], now: float) -> list[Ended]:
        """failed, cancelled and expired runs become queued, due now, with no failures, never to expire. Others stay as they are.

        A run whose unique key has been taken by another one stays as it is too: ``after`` equals ``before``.
        """

    async def release(self, kernel: str) -> list[Run]:
        """What this kernel still has claimed becomes queued: for the very end of a kernel that had to be cut short."""

    # Reading

    async def runs(self, query: RunQuery) -> list[Run]: ...

    async def count(self, query: RunQuery) -> dict[str, int]:
        """state -> how many runs; ``limit`` and ``before`` are not looked at."""

    async def prune(self, keep: Mapping[str, Keep], default: Keep, ticks_before: float, now: float, limit: int) -> int:
        """Deletes at most ``limit`` finished runs that their job's ``Keep`` no longer keeps, and at most as many old ticks.

        Returns how many runs and ticks went: fewer than ``limit`` when nothing is left to delete.
        """

    # Queues

    async def queues(self) -> list[QueueRow]: ...

    async def pause_queue(self, queue: str, until: float | None) -> None:
        """Until this instant (inf: until resumed); None resumes."""

    # Schedules

    async def schedules(self) -> list[ScheduleRow]: ...

    async def put_schedules(self, rows: Sequence[ScheduleRow]) -> None:
        """Inserts rows, or replaces them by name; one that is there stays paused, or not, as ``pause_schedule`` has left it."""

    async def remove_schedules(self, names: Sequence[str]) -> None:
        """The rows go; ticks and runs stay."""

    async def pause_schedule(self, name: str, paused: bool | None) -> bool:
        """False when there is no such schedule. None: as its definition says."""

    async def look(
        self, looks: Sequence[Look], decide: Callable[[Look, Sequence[Unfinished]], Looked]
    ) -> list[Looked | None]:
        """In one transaction, for each look whose ``expected`` holds: what ``decide`` says, given the schedule's unfinished runs.

        They are given in the order of their ids. What it cancels ends at ``until`` and before the new runs are inserted.
        ``decide`` is pure and may be called on another thread; looks of one schedule are carried out in order. None for a
        look that another kernel has made already. Of consecutive ledger lines with equal result and reason (runs apart)
        one range is kept.
        """

    async def ticks(self, schedule: str, since: float, until: float, limit: int) -> list[Tick]:
        """Ledger lines that touch [since, until], newest first."""

    # Kernels and what they announce

    async def kernels(self) -> list[KernelRow]:
        """Kernels that are alive, as far as the store can tell."""

    async def beat(self, kernel: str, now: float) -> None: ...

    async def announce(self, kernel: str, jobs: Sequence[Announced], now: float) -> None:
        """Replaces what was announced before."""

    async def announced(self) -> list[Announced]: ...

    # A small table for plugins

    async def get(self, plugin: str, keys: Iterable[str] | None = None) -> dict[str, str]:
        """key -> JSON text; all of the plugin's when ``keys`` is None."""

    async def put(self, plugin: str, values: Mapping[str, str | None]) -> None:
        """None deletes."""
