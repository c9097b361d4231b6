"""``mainspring breakers``: which circuit breakers are open, since when and why, and how to close one."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from kernel.cli.command import AsJson, at_desk, call, example, group
from kernel.cli.output import Column, moment, print_json, print_table, say

_COLUMNS = [
    Column("BREAKER"), Column("STATE"), Column("FAILURES", is_number=True), Column("SUCCESSES", is_number=True),
    Column("OPENED"), Column("NEXT PROBE"), Column("OPENS AT", is_number=True), Column("RECOVERY", is_number=True),
    Column("CLOSES AT", is_number=True), Column("JOBS", is_whole=False), Column("LAST ERROR", is_whole=False),
]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    breakers = group(app, "breakers", "Lists and closes circuit breakers.")
    breakers.command("list", epilog=example("breakers list", "breakers list --json"))(list_breakers)
    breakers.command("reset", epilog=example("breakers reset partner-api"))(reset)


def list_breakers(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Lists the circuit breakers, with what opens and closes them."""
    found = at_desk(context, lambda desk: desk.breakers())
    if as_json:
        print_json(found)
    else:
        print_table(_COLUMNS, [_row(breaker) for breaker in found], empty="no breakers")


def _row(breaker: dict[str, Any]) -> list[Any]:
    recovery = breaker["recovery_seconds"]
    is_half_open = breaker["state"] == "half_open"
    return [
        breaker["breaker"], breaker["state"], breaker["failures"],
        breaker["successes"] if is_half_open else None, moment(breaker["opened_at"]), next_probe(breaker),
        breaker["failure_threshold"], None if recovery is None else f"{recovery:g} s", breaker["success_threshold"],
        ", ".join(breaker["jobs"]), breaker["error"],
    ]  # fmt: skip


def next_probe(breaker: dict[str, Any]) -> str:
    """When a call is let through to try: `2026-01-31 09:00:00Z`, or `now, at the next call`."""
    if breaker["state"] == "closed":
        return "-"
    if breaker.get("probe"):
        return "under way"
    is_ahead = breaker["until"] is not None and datetime.fromisoformat(breaker["until"]) > datetime.now(UTC)
    return moment(breaker["until"]) if is_ahead else "now, at the next call"


def reset(
    context: typer.Context,
    breaker: Annotated[str, typer.Argument(metavar="BREAKER", help="The breaker's name.")],
) -> None:
    """Closes a circuit breaker by hand, and forgets its failures."""
    call(context, "breakers_reset", breaker=breaker)
    say(f"{breaker} is closed")
