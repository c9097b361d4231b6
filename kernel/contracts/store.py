"""What a store must provide: batch-first, with no policy in it; what states and times become is decided in ``model``.

Every call is one transaction: all of it is durable when it returns, or none of it happened and StoreError is raised.
Calls made in one turn of the loop are carried out in the order in which they were made, if possible in one commit; but
what attempts tell and come to (``record``, ``finish``) may go beside the others.
``tests/contracts/store_contract.py`` is the promise in executable form.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from kernel.model import loss
from kernel.model.run import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kernel.model.job import Keep
    from kernel.model.rate import RateLimit
    from kernel.model.run import Change, Claimed, NewRun, Run
    from kernel.model.schedule import ScheduleRow, Tick

MOST_ATTEMPTS = 50
"""Of a run's attempts so many are kept, the newest."""
LOG_BYTES = 64 * 1024
"""The most that is kept of a run's log; of a longer one the oldest lines go."""
SUSPECT_LOSSES = loss.SUSPECT_LOSSES
"""From so many losses on a run is a suspect: claimed only as one."""
ERROR_STATES = (RunState.RETRYING, RunState.RUNNING, RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED)
"""Where a text of an error is looked for unless other states are named."""
CLOCKS_DIFFER_SECONDS = 60.0
"""How far the clocks of those who enqueue may be apart for their runs to be found by time."""
_NONE: Mapping[str, Any] = MappingProxyType({})


class Claim(NamedTuple):
    """What a kernel asks for: up to ``limit`` queued runs, most urgent first, of lanes (queue, job) that have room.

    ``jobs``: job -> room; a job that is not in it is not claimed at all. ``queues``: queue -> room; one that is not
    in it has no limit of its own. A room of 0 excludes. ``before``: only runs of a smaller urgency than this.

    Counted by the store, over all kernels: ``key_limits``: job -> how many of its runs with one ``concurrency_key`` may
    run at once; ``job_rates`` and ``queue_rates``: how many runs of a job, a queue, may begin; ``key_rates``: job -> how
    many of its runs with one ``rate_key``. A run that such a limit holds back stays queued, and those behind it go on.
    For a rate the claim is the beginning: what a rate counts is taken only among the first ``at_once`` of the claim, and
    when that has left any, ``next_due`` says now.

    ``job_limits``, ``queue_limits``: how many runs of a job, a queue, may run at once over all kernels. The rooms say what
    this kernel may take of them at the most: where there is no other one, that is all there is to heed.

    Suspects (runs with two losses or more) are claimed only when ``suspects`` is more than 0, at most so many.
    """

    kernel: str
    now: float
    limit: int
    jobs: Mapping[str, int]
    queues: Mapping[str, int]
    before: float | None = None
    key_limits: Mapping[str, int] = _NONE
    job_rates: Mapping[str, RateLimit] = _NONE
    queue_rates: Mapping[str, RateLimit] = _NONE
    key_rates: Mapping[str, RateLimit] = _NONE
    suspects: int = 0
    job_limits: Mapping[str, int] = _NONE
    queue_limits: Mapping[str, int] = _NONE
    at_once: int | None = None

    def is_rated(self, queue: str, job: str) -> bool:
        """Whether a rate counts the runs of this lane."""
        return job in self.job_rates or job in self.key_rates or queue in self.queue_rates


class Claims(NamedTuple):
    """``next_due``: when the earliest run that is not due yet, of whatever job, becomes so, or a limit that has held runs
    back may have room again, as far as time alone makes it; None when there is none.

    ``expired``: waiting runs whose ``expires`` has come; this call ended them, with the reason "expired".
    ``cancelled``: what was cancelled because it depended on these.
    """

    runs: list[Claimed]
    next_due: float | None
    expired: list[Run]
    cancelled: Sequence[Ended] = ()


class Finishes(NamedTuple):
    """``written``: for each change, whether it was; False for the stale, which change nothing.

    ``freed``: whether runs that depended on these may begin now. ``cancelled``: which were cancelled instead.
    """

    written: list[bool]
    freed: bool = False
    cancelled: Sequence[Ended] = ()


class Entry(NamedTuple):
    """What an attempt writes down while it goes on: a step's (name, result), its progress (fraction, text), log lines.

    ``log`` is whole lines, each with its end.
    """

    id: str
    token: int
    step: tuple[str, str] | None = None
    progress: tuple[float, str] | None = None
    log: str | None = None


class RunLog(NamedTuple):
    """What is kept of a run's log; ``is_cut`` when its oldest lines are gone."""

    text: str
    is_cut: bool


class AttemptRow(NamedTuple):
    """An attempt that has ended otherwise than completed. ``error``: as in the run, of this attempt.

    ``outcome``: what became of it, as retrying, failed, cancelled, snoozed, interrupted or lost.
    """

    attempt: int
    started: float | None
    ended: float
    outcome: str
    error: str | None = None
    reason: str | None = None
    kernel: str | None = None


class Edge(NamedTuple):
    """``child`` depends on ``parent``; ``is_open`` until that has ended. ``on_failure``: cancel or run."""

    child: str
    parent: str
    is_open: bool
    on_failure: str


class BreakerRow(NamedTuple):
    """A breaker's state, shared by all kernels. ``state``: closed, open or half_open; instants are epoch seconds.

    ``until``: from when a probe may begin. ``probe``: the kernel whose probe is under way. ``version`` grows by one with
    each change.
    """

    name: str
    version: int
    state: str
    opened: float | None = None
    until: float | None = None
    successes: int = 0
    probe: str | None = None
    error: str | None = None


class Look(NamedTuple):
    """One look at one schedule. It counts only if the row's ``looked_until`` still is ``expected``, which becomes ``until``.

    And if the row still is of this ``version``: what has been put since has another definition, or another grid.
    """

    schedule: str
    expected: float
    until: float
    version: int = 1


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
    """What became of a wish to cancel or retry: the run's state before and after.

    ``held_by``: the run that holds the unique key for which this one could not be retried.
    """

    id: str
    job: str
    queue: str
    before: str
    after: str
    held_by: str | None = None


class RunQuery(NamedTuple):
    """A filter of runs; newest first. ``before`` is the id of the last run of the page before.

    ``since`` <= enqueued < ``until``, epoch seconds: a store may look for these by the order of the ids, and then does not
    find a run whose clock was off by more than ``CLOCKS_DIFFER_SECONDS`` when it was enqueued. ``error``: a text that
    stands in the run's last error as that is shown, ``Type: message``, or in its reason; the letters A to Z are equal to
    a to z, and no character has a meaning of its own. Without ``states`` it is looked for in runs of ``ERROR_STATES``.
    """

    ids: Sequence[str] | None = None
    states: Sequence[str] | None = None
    job: str | None = None
    queue: str | None = None
    schedule: str | None = None
    tag: str | None = None
    limit: int = 50
    before: str | None = None
    since: float | None = None
    until: float | None = None
    error: str | None = None

    @property
    def wanted_states(self) -> Sequence[str] | None:
        """``states``, or those that are meant where none is named; None for all."""
        return ERROR_STATES if self.states is None and self.error is not None else self.states


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


class Member(NamedTuple):
    """A kernel that has signed in and not out. ``is_alive``: False when it has died and nobody has taken up what it had.

    ``running``: how many runs it has claimed.
    """

    kernel: KernelRow
    is_alive: bool
    running: int


class Announced(NamedTuple):
    """A job as a kernel announces it to clients: policies, payload schema and so on, as JSON text."""

    job: str
    plugin: str
    queue: str
    info: str


class Signals(NamedTuple):
    """Counters that grow when an operator's change was written: a kernel re-reads what grew.

    ``schedules``: put, removed or paused (not looked at). ``queues``: paused. ``cancels``: wanted of a running run.
    ``breakers``: put.
    """

    schedules: int
    queues: int
    cancels: int
    breakers: int = 0


class Joined(Protocol):
    """A store within a transaction that is the caller's own, as ``join(connection)`` of a store gives it that has such."""

    async def enqueue(self, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
        """As of the store. What fails leaves the transaction as it was; others hear of the runs when it is committed."""

    async def runs(self, query: RunQuery) -> list[Run]: ...


@runtime_checkable
class Joinable(Protocol):
    """A store whose transactions others can join."""

    async def join(self, connection: object) -> Joined:
        """The store within the transaction of this connection; RequestError when it has none, or leads elsewhere."""
        ...


class Store(Protocol):
    """Instants are epoch seconds, texts are JSON where the model says so, and lists keep their order."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""

    @property
    def is_durable(self) -> bool: ...

    # Kernels that share it. Where one alone has it open, nothing of this ever happens.

    @property
    def is_shared(self) -> bool:
        """Whether several kernels may have it open at once. Each has a lease then, and loses what it claimed with that."""

    @property
    def may_start(self) -> bool:
        """False when this kernel could not renew its lease for two thirds of it: it begins no run that it holds."""

    @property
    def lease_losses(self) -> int:
        """How often others have taken this kernel for dead, and what it had claimed. It has signed in again since."""

    @property
    def clock_offset(self) -> float:
        """Seconds to be added to this machine's wall clock, as that is set now, to have the one by which all kernels go.

        0.0 where the store has no clock. Known when ``open`` returns.
        """

    # Life

    async def open(self, kernel: KernelRow | None) -> None:
        """Opens it, bringing the schema up to date. As a ``kernel`` (a client gives None) it takes the store's lock if it has one.

        A store with a clock keeps the row's ``started`` and ``seen`` by that one.
        ConfigError (StoreLockedError) when it cannot be used; StoreError when trying again may help.
        """

    async def close(self) -> None:
        """Writes what it was given, then lets go of everything. May be called twice. A kernel's row goes with it."""

    async def rescue(
        self, kernel: str, decide: Callable[[KernelRow | None, Sequence[Run]], Sequence[Change]]
    ) -> list[Run]:
        """Takes what other kernels hold that have died: ``decide`` is called for each of them, in the same transaction.

        It is given the dead kernel's row (None when that has ended in order) and its runs by id, and is pure. Its
        changes are written as by ``finish``, the row goes. The runs, as they are afterwards; behind them those that were
        cancelled because they depended on these.
        """

    def on_change(self, callback: Callable[[], None]) -> None:
        """``callback`` is called on the loop, within 100 ms, when another process has changed the store."""

    async def signals(self) -> Signals: ...

    # The way of a run

    async def enqueue(self, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
        """Inserts all or none; the id that each stands for: its own, or that of the run that has its (job, unique).

        A run whose id is there already is left alone. ``room``: queue -> the most waiting runs it may hold; past it
        StoreFullError names the queue and nothing is inserted.

        An unfinished run has its unique key, and so has, until its ``unique_until``, the run that was last enqueued with
        one, unless it was cancelled. With ``on_conflict`` replace or debounce such a run, while it waits, takes payload,
        queue, priority, state, due, urgency, expires, tags and keys of the newcomer, and its recorded steps go; running
        and ended ones stay as they are.

        ``depends_on``: runs that must end first; RequestError names one that is not there (it may stand earlier in the
        same list). A run that depends on nothing unfinished goes at once: queued when it is due, else scheduled; so it
        does when its last parent ends, in the same transaction. When a parent fails, is cancelled or expires, a run with
        ``on_parent_failure`` cancel is cancelled, with a reason that names the parent.
        """

    async def claim(self, claim: Claim) -> Claims:
        """Makes due runs ``queued``, expires what has waited too long to begin, and claims: running, token + 1, attempt + 1."""

    async def finish(self, changes: Sequence[Change]) -> Finishes:
        """Writes each change whose (id, token) is still the running one's.

        A change without ``error`` keeps the last one. A final change frees the run's unique key and, with ``schedule``,
        lets the next blocked run of that schedule go; so does every other end of a run. The next is the one of the oldest
        tick, once nothing but blocked runs of the schedule is unfinished: it is queued when it is due, else scheduled.
        """

    async def record(self, entries: Sequence[Entry]) -> list[bool]:
        """Writes down what running attempts tell, in order; False for those whose (id, token) is not running any more.

        A step that is recorded already stays as it is; progress is replaced; log lines are added, up to LOG_BYTES.
        """

    async def attempts(self, run: str) -> list[AttemptRow]:
        """The newest MOST_ATTEMPTS of the run's attempts that did not complete, oldest first.

        ``finish`` and ``rescue`` write them, for each change of which ``outcome_of`` (model.lifecycle) says an outcome. They
        go with the run, and when it takes what a newcomer of its unique key brings.
        """
        ...

    async def steps(self, run: str) -> dict[str, str]:
        """The run's recorded steps: name -> result as JSON text."""

    async def log(self, run: str) -> RunLog: ...

    async def stick(self, ids: Sequence[str]) -> None:
        """Marks running runs as stuck."""

    async def cancel(self, ids: Sequence[str], reason: str, now: float) -> list[Ended]:
        """Waiting runs become cancelled; running ones keep running with ``cancel_reason`` set. Unknown ids are left out.

        Behind those that were asked for stand the runs that were cancelled because they depended on them. The wish
        stays with a run that waits again, until it has ended or is retried by hand.
        """

    async def cancels(self, kernel: str) -> list[tuple[str, int, str]]:
        """(id, token, reason) of the runs of this kernel that somebody wants cancelled."""

    async def retry(self, ids: Sequence[str], now: float) -> list[Ended]:
        """failed, cancelled and expired runs become queued, due now, with no failures, never to expire. Others stay as they are.

        A run whose unique key has been taken by another one stays as it is too: ``after`` equals ``before``, and
        ``held_by`` names that one.
        """

    async def release(self, kernel: str) -> list[Run]:
        """What this kernel still has claimed becomes queued: for the very end of a kernel that had to be cut short."""

    # Reading

    async def runs(self, query: RunQuery) -> list[Run]: ...

    async def edges(self, runs: Sequence[str]) -> list[Edge]:
        """The dependencies of which one of these runs is child or parent, ended ones too; by child, then parent."""

    async def rate_room_at(self, kind: str, name: str, key: str, limit: RateLimit, now: float) -> float:
        """When the next run may begin under this limit (not before ``now``); ``kind``: job, queue or key (of job ``name``)."""

    async def count(self, query: RunQuery) -> dict[str, int]:
        """state -> how many runs; ``limit`` and ``before`` are not looked at."""

    async def prune(self, keep: Mapping[str, Keep], default: Keep, ticks_before: float, now: float, limit: int) -> int:
        """Deletes at most ``limit`` finished runs that their job's ``Keep`` no longer keeps, and at most as many old ticks.

        Steps, log, attempts and dependencies go with their run; one that others wait for stays.
        Returns how many runs and ticks went: fewer than ``limit`` when nothing is left to delete.
        """

    # Queues

    async def queues(self) -> list[QueueRow]: ...

    async def pause_queue(self, queue: str, until: float | None) -> None:
        """Until this instant (inf: until resumed); None resumes."""

    # Breakers

    async def breakers(self) -> list[BreakerRow]: ...

    async def put_breaker(self, row: BreakerRow) -> bool:
        """Writes it if the version that is there (0 for none) is the one before; False when another kernel was first."""

    # Schedules

    async def schedules(self, names: Sequence[str] | None = None) -> list[ScheduleRow]:
        """Those that are there, of these names or of all."""

    async def put_schedules(self, rows: Sequence[ScheduleRow], back: bool = False) -> list[bool]:
        """Writes each row if the version that is there (0 for none) is the one before; False when another was first.

        A name stands in it once. One that is there stays paused, or not, as ``pause_schedule`` has left it, and its
        ``looked_until`` only grows: a look of another kernel is not undone. With ``back`` it becomes what is given, for the
        clock was set back.
        """

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

    async def ticks_of(self, schedules: Sequence[str], since: float, until: float, limit: int) -> list[Tick]:
        """The same of all these schedules together, newest first; lines that begin at one instant in the order of their names."""

    # Kernels and what they announce

    async def kernels(self) -> list[KernelRow]:
        """Kernels that are alive, as far as the store can tell."""

    async def members(self) -> list[Member]:
        """These, and those that have died and whose runs nobody has taken up; in the order in which they were started."""

    async def beat(self, kernel: str, now: float) -> None: ...

    async def announce(self, kernel: str, jobs: Sequence[Announced], now: float) -> None:
        """Replaces what this kernel announced before, and what kernels did that are not alive any more."""

    async def announced(self) -> list[Announced]:
        """What the kernels that are alive announce; when none is, what was announced last.

        Of a job that several announce, what was announced last; to announce the same again is nothing new.
        """

    async def announced_elsewhere(self, kernel: str) -> set[str]:
        """The jobs that kernels other than this one announce and that are alive; none where one has the store alone."""

    # A small table for plugins

    async def get(self, plugin: str, keys: Iterable[str] | None = None) -> dict[str, str]:
        """key -> JSON text; all of the plugin's when ``keys`` is None."""

    async def put(self, plugin: str, values: Mapping[str, str | None]) -> None:
        """None deletes."""
