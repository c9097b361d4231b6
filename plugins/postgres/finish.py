"""What became of claimed runs is written, each fenced by its token."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import MOST_ATTEMPTS, Finishes
from kernel.model.lifecycle import outcome_of
from kernel.model.run import FINAL

from .dependencies import Parent
from .ends import after_ends, lock_schedules
from .limits import unpark
from .rows import CODE_OF, clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.model.run import Change, Claimed

    from .database import Database


async def finish(database: Database, changes: Sequence[Change]) -> Finishes:
    # In the order of their ids, as everybody locks them; of two changes of one claim the first counts.
    numbers = sorted(range(len(changes)), key=lambda number: changes[number].id)
    first: dict[tuple[str, int], int] = {}
    for number in numbers:
        first.setdefault((changes[number].id, changes[number].token), number)
    order = list(first.values())
    schedules = await lock_schedules(
        database, (changes[number].schedule for number in order if changes[number].state in FINAL)
    )
    rows = await _write(database, changes, order)
    written = [False] * len(changes)
    parents: list[Parent] = []
    keys: Counter[tuple[str, str]] = Counter()
    waiting: Counter[str] = Counter()
    lanes: set[tuple[str, str]] = set()
    for number, parent, job, queue, key in rows:
        written[number] = True
        lanes.add((job, queue))
        state = changes[number].state
        if state not in FINAL:
            waiting[queue] += 1
        elif parent is not None:
            parents.append(Parent(parent, CODE_OF[state]))
        if key is not None:
            keys[job, key] += 1
    if rows:
        database.has_news = True
        database.after_commit.append(lambda: database.known.full.forget(lanes))
    if waiting:
        database.after_commit.append(lambda: database.known.room.add(waiting))
    cancelled = [changes[number].id for number in order if written[number] and changes[number].state == "cancelled"]
    if cancelled:
        await database.change("unique_period_end", cancelled)
    now = max((change.finished or 0.0 for change in changes), default=0.0)
    freed = await after_ends(database, parents, schedules if rows else (), now)
    if keys:
        await unpark(database, keys)
    return Finishes(written, freed.freed, [one.ended for one in freed.cancelled])


async def _write(
    database: Database, changes: Sequence[Change], order: Sequence[int]
) -> list[tuple[int, str | None, str, str, str | None]]:
    """What was written: (number, id when it has children, job, queue, concurrency key)."""
    claimed = database.known.claimed
    plain: list[int] = []
    others: list[int] = []
    for number in order:
        run = claimed.get(changes[number].id)
        (plain if run is not None and _is_plain(changes[number], run) else others).append(number)
    found = await _write_completed(database, changes, plain) if plain else []
    if others:
        rows = await database.rows("finish", *_columns([changes[number] for number in others]))
        found += [(others[place - 1], *rest) for place, *rest in rows]
        await _write_attempts(database, [changes[others[place - 1]] for place, *_ in rows])
    database.after_commit.append(lambda: _forget(claimed, changes))
    return found


async def _write_attempts(database: Database, changes: Sequence[Change]) -> None:
    """What became of attempts that did not complete."""
    told = [
        (
            change.id, change.attempt, change.finished if change.ended is None else change.ended, outcome,
            clean(change.reason), clean(change.error),
        )
        for change in changes
        if (outcome := outcome_of(change)) is not None
    ]  # fmt: skip
    if told:
        await database.change("attempt_add", *zip(*told, strict=True), MOST_ATTEMPTS)


async def _write_completed(
    database: Database, changes: Sequence[Change], plain: Sequence[int]
) -> list[tuple[int, str | None, str, str, str | None]]:
    """What most changes are, in short: all else is known of the claim."""
    few = [changes[number] for number in plain]
    written, parents = await database.row("finish_completed", *_short_columns(few))
    claimed = database.known.claimed
    with_children = set(parents or ())
    found: list[tuple[int, str | None, str, str, str | None]] = []
    for place in range(1, len(plain) + 1) if written is None else written:
        run_id = few[place - 1].id
        run = claimed[run_id]
        found.append((plain[place - 1], run_id if place in with_children else None, run.job, run.queue, None))
    return found


def _short_columns(changes: Sequence[Change]) -> list[Any]:
    """As ``finish_completed.sql`` takes them."""
    return [
        _array_text([change.id for change in changes]),
        _array_text([str(change.token) for change in changes]),
        _array_text([repr(change.finished) for change in changes]),
        "\n".join([clean(change.result) or "" for change in changes]),
        len(changes),
    ]


def _array_text(values: Sequence[str]) -> str:
    """As PostgreSQL writes an array of what has no quotes, commas or braces in it."""
    return "{" + ",".join(values) + "}"


def _forget(claimed: dict[str, Claimed], changes: Sequence[Change]) -> None:
    for change in changes:
        run = claimed.get(change.id)
        if run is not None and run.token == change.token:
            del claimed[change.id]


def _is_plain(change: Change, run: Claimed) -> bool:
    """Completed, and nothing else is different from what was claimed; nobody waits for the place of its key."""
    _, token, state, due, urgency, attempt, failures, _, result, error, reason, notes, _, losses, _ = change
    return (
        state == "completed"
        and error is reason is notes is None
        and losses == 0
        and token == run.token
        and attempt == run.attempt
        and failures == run.failures
        and due == run.due
        and urgency == run.urgency
        and (run.extra is None or run.extra.concurrency_key is None)
        and (result is None or "\n" not in result)
    )


def _columns(changes: Sequence[Change]) -> list[Sequence[Any]]:
    """As ``finish.sql`` takes them."""
    ids, tokens, states, dues, urgencies, attempts, failures, ends, results, errors, reasons, notes, _, losses, _ = zip(
        *changes, strict=True
    )
    return [
        ids, tokens, [CODE_OF[state] for state in states], dues, urgencies, attempts, failures, ends,
        [clean(text) for text in results], [clean(text) for text in errors], [clean(text) for text in reasons],
        [clean(text) for text in notes], losses,
    ]  # fmt: skip
