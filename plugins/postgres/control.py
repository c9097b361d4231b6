"""What an operator, or the end of a kernel, does to runs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.contracts.store import Ended
from kernel.model.run import AGING_SECONDS

from .dependencies import Parent
from .ends import after_ends, lock_schedules
from .errors import RepeatError
from .limits import unpark
from .rows import BLOCKED, CANCELLED, COMPLETED, QUEUED, RUNNING, clean, run_of, state_name
from .unique import period_holders, unfinished_holders

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kernel.model.run import Run

    from .database import Database
    from .unique import Key


class Found(NamedTuple):
    """As ``find.sql`` gives it."""

    id: str
    job: str
    queue: str
    state: int
    schedule: str | None
    unique_key: str | None
    has_children: bool

    @property
    def key(self) -> Key | None:
        return None if self.unique_key is None else (self.job, self.unique_key)


async def cancel(database: Database, ids: Sequence[str], reason: str, now: float) -> list[Ended]:
    wanted = list(dict.fromkeys(ids))
    schedules = await lock_schedules(database, (run.schedule for run in await find(database, wanted)))
    found = await find(database, wanted, locked=True)
    if not {run.schedule for run in found} <= {*schedules, None}:
        raise RepeatError
    ended = await end(database, found, reason, now)
    freed = await after_ends(database, parents_of(ended), schedules if ended else (), now)
    return [*_told(found, ended), *(one.ended for one in freed.cancelled)]


async def end(database: Database, found: Iterable[Found], reason: str, now: float) -> list[Found]:
    """Waiting runs become cancelled, and are the answer; running ones carry the wish."""
    waiting = [run for run in found if run.state <= QUEUED]
    running = [run.id for run in found if run.state == RUNNING]
    if waiting:
        ids = [run.id for run in waiting]
        await database.change("cancel_waiting", ids, clean(reason), now)
        if any(run.unique_key is not None for run in waiting):
            await database.change("unique_period_end", ids)
        blocked = [run.id for run in waiting if run.state == BLOCKED]
        if blocked:
            await database.change("edges_leave", blocked)
        database.has_news = True
        queues = Counter(run.queue for run in waiting)
        database.after_commit.append(lambda: database.known.room.left(queues))
    if running:
        await database.change("cancel_running", running, clean(reason))
        await database.signal("cancels")
    return waiting


def parents_of(ended: Iterable[Found]) -> list[Parent]:
    """Of runs just cancelled those on which others depend."""
    return [Parent(run.id, CANCELLED) for run in ended if run.has_children]


def _told(found: Sequence[Found], ended: Sequence[Found]) -> list[Ended]:
    gone = {run.id for run in ended}
    return [
        Ended(run.id, run.job, run.queue, state_name(run.state), state_name(CANCELLED if run.id in gone else run.state))
        for run in found
    ]


async def retry(database: Database, ids: Sequence[str], now: float) -> list[Ended]:
    found = await find(database, list(dict.fromkeys(ids)), locked=True)
    keys = list(dict.fromkeys(run.key for run in found if run.key is not None and run.state > COMPLETED))
    holders = {key: run for key, (run, until) in (await period_holders(database, keys)).items() if until > now}
    holders |= {key: run for key, (run, *_) in (await unfinished_holders(database, keys)).items()}
    again: list[Found] = []
    answers: list[Ended] = []
    for run in found:
        before = state_name(run.state)
        holder = holders.get(run.key) if run.key is not None else None
        if run.state <= COMPLETED:
            answers.append(Ended(run.id, run.job, run.queue, before, before))
        elif holder is not None and holder != run.id:
            answers.append(Ended(run.id, run.job, run.queue, before, before, holder))
        else:
            if run.key is not None:
                holders[run.key] = run.id
            again.append(run)
            answers.append(Ended(run.id, run.job, run.queue, before, state_name(QUEUED)))
    if again:
        await database.change("retry", sorted(run.id for run in again), now, AGING_SECONDS)
        database.has_news = True
        queues = Counter(run.queue for run in again)
        database.after_commit.append(lambda: database.known.room.add(queues))
    return answers


async def release(database: Database, kernel: str) -> list[Run]:
    """What this kernel still has claimed waits again."""
    held = await database.rows("running_of", kernel)
    if not held:
        return []
    ids = [run for run, _, _ in held]
    await database.change("release", ids)
    keys: Counter[tuple[str, str]] = Counter((job, key) for _, job, key in held if key is not None)
    if keys:
        await unpark(database, keys)
    database.has_news = True
    database.after_commit.append(database.known.room.forget)
    database.after_commit.append(database.known.claimed.clear)
    return [run_of(row) for row in await database.rows("runs_of", ids)]


async def find(database: Database, ids: Sequence[str], *, locked: bool = False) -> list[Found]:
    """What is there of these ids, in their order. Locked in the order of the ids, as everybody does."""
    rows: Sequence[Sequence[Any]] = await database.rows("find_locked" if locked else "find", sorted(ids))
    found = {row[0]: Found(*row) for row in rows}
    return [found[one] for one in ids if one in found]


async def stick(database: Database, ids: Sequence[str]) -> None:
    if ids:
        await database.change("stick", sorted(ids))


async def cancels(database: Database, kernel: str) -> list[tuple[str, int, str]]:
    return [(run, token, reason) for run, token, reason in await database.rows("cancels", kernel)]
