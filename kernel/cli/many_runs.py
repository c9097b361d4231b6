"""Cancelling and retrying many runs: says how many there are, asks, then works in batches and says how far it is."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from kernel.cli.command import at_desk
from kernel.cli.output import is_terminal, print_json, say, tell
from kernel.cli.question import is_confirmed
from kernel.cli.status_line import status_line
from kernel.model.counted import counted

if TYPE_CHECKING:
    from kernel.cli.desk import Desk

_AT_ONCE = 1_000
_IN_WORDS = {
    "cancelled": "{} cancelled", "told": "{} running, told to end", "retried": "{} queued again",
    "held": "{} left alone: another run has the unique key now",
    "unready": "{} left alone: a run that must complete first has not", "left": "{} left alone: changed since",
    "dependents": "{} more cancelled that depended on these",
}  # fmt: skip


def cancel_many(
    context: typer.Context, given: dict[str, str | None], reason: str, *, is_sure: bool, as_json: bool
) -> None:
    found = _selected(context, "cancel", given)
    if found:
        _make_sure("cancel", found, is_sure=is_sure)
    _print(_carry_out(context, "runs_cancel_many", [run["id"] for run in found], {"reason": reason}), as_json=as_json)


def retry_many(context: typer.Context, given: dict[str, str | None], *, is_sure: bool, as_json: bool) -> None:
    """Each once, though it may fail again while the others are done. The oldest first: they are due in this order."""
    found = _selected(context, "retry", given)
    if found:
        _make_sure("retry", found, is_sure=is_sure)
    _print(_carry_out(context, "runs_retry_many", [run["id"] for run in reversed(found)], {}), as_json=as_json)


def _selected(context: typer.Context, purpose: str, given: dict[str, str | None]) -> list[dict[str, str]]:
    from kernel.model.moment import moment_of
    from kernel.model.run import iso

    async def work(desk: "Desk") -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        now = time.time()
        for name in ("since", "until"):  # "2h" means the same for each page
            if given.get(name) is not None:
                given[name] = iso(moment_of(given[name], now, name))
        with status_line("looking") as show:
            while page := await desk.call(
                "runs_select", purpose=purpose, before=found[-1]["id"] if found else None, **given
            ):
                found += page
                show(counted(len(found), "run"))
        return found

    return at_desk(context, work)


def _make_sure(purpose: str, found: list[dict[str, str]], *, is_sure: bool) -> None:
    """Asks on a terminal; RequestError where nobody can be asked, and typer.Exit unless the answer is yes."""
    from kernel.model.errors import RequestError

    what = f"{purpose} {_counted(found, 'state')}, of {_named(found)}"
    if is_sure:
        return
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise RequestError(f"this would {what}: expected --yes, as nobody can be asked here")
    if not is_confirmed(f"{what}?"):
        tell("nothing has changed")
        raise typer.Exit(1)


def _carry_out(context: typer.Context, operation: str, ids: list[str], arguments: dict[str, Any]) -> dict[str, int]:
    async def work(desk: "Desk") -> dict[str, int]:
        total: Counter[str] = Counter()
        with status_line("working") as show:
            for at in range(0, max(len(ids), 1), _AT_ONCE):
                total.update(await desk.call(operation, runs=ids[at : at + _AT_ONCE], **arguments))
                show(f"{total['runs']:,} of {counted(len(ids), 'run')}")
        return dict(total)

    return at_desk(context, work)


def _print(tally: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json(tally)
        return
    if not tally["runs"]:
        tell("no runs")
        return
    say(", ".join(words.format(f"{tally[name]:,}") for name, words in _IN_WORDS.items() if tally.get(name)))


def _counted(found: list[dict[str, str]], field: str) -> str:
    """`1,234 runs: 1,200 queued, 34 running`."""
    counts = ", ".join(f"{count:,} {name}" for name, count in Counter(run[field] for run in found).most_common())
    return f"{counted(len(found), 'run')}: {counts}"


def _named(found: list[dict[str, str]]) -> str:
    jobs = [name for name, _ in Counter(run["job"] for run in found).most_common()]
    return ", ".join(jobs[:3]) + (f" and {counted(len(jobs) - 3, 'more job')}" if len(jobs) > 3 else "")
