"""``mainspring explain``: the one reason why something has not run."""

from typing import Annotated

import typer

from kernel.cli.command import AsJson, at_desk, example
from kernel.cli.output import clean, moment, print_json, say


def add_to(app: typer.Typer) -> None:
    app.command(
        "explain",
        epilog=example(
            "explain 0198c5b2-8d1e-7a3c-9f00-3b5e0c1d2a4f",
            "explain fleet.daily_maintenance_check --at 2026-03-29T02:30:00+01:00",
        ),
    )(explain)


def explain(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="RUN-ID|SCHEDULE", help="A run's id, or a schedule's name.")],
    *,
    at: Annotated[
        str | None, typer.Option(metavar="ISO", help="Of a schedule: the tick at this instant, or the last before it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Says why a run or a schedule has not run.

    Of a run: why it has not begun, and until when, or how it ended. Of a schedule: what became of a tick.
    """
    answer = at_desk(context, lambda desk: desk.explain(subject, at))
    if as_json:
        print_json(answer)
        return
    who = f"run {answer['run']} of {answer['job']}" if "state" in answer else f"schedule {answer['schedule']}"
    say(clean(f"{who}: {answer['text']}"))
    if answer.get("next_at"):
        say(f"the next tick is at {moment(answer['next_at'])}")
