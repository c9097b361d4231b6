"""``mainspring next``: when a cron expression is due."""

from typing import TYPE_CHECKING, Annotated

import typer

from kernel.cli.command import AsJson, example
from kernel.cli.output import print_json, say, tell

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

_MOST = 100_000


def add_to(app: typer.Typer) -> None:
    app.command(
        "next", epilog=example("next '30 2 * * *' --tz Europe/Berlin --after 2026-03-28 --count 3", "next @hourly")
    )(next_instants)


def next_instants(
    expression: Annotated[
        str, typer.Argument(metavar="EXPR", help="A cron expression of 5 fields, or 6 with seconds first.")
    ],
    *,
    tz: Annotated[str, typer.Option(metavar="ZONE", help="The time zone, as Europe/Berlin.")] = "UTC",
    after: Annotated[
        str | None,
        typer.Option(metavar="ISO", help="Those after this instant, in the zone if it has no offset; else now."),
    ] = None,
    count: Annotated[int, typer.Option(metavar="N", min=1, max=_MOST, help="How many.")] = 5,
    name: Annotated[str, typer.Option(metavar="NAME", help="The schedule's name, from which H takes its place.")] = "",
    as_json: AsJson = False,
) -> None:
    """Prints when a cron expression is due next."""
    from datetime import UTC, datetime  # noqa: PLC0415 - at first use, as the model

    from kernel.model.cron import CronExpression, upcoming  # noqa: PLC0415 - as above
    from kernel.model.zones import zone_of  # noqa: PLC0415 - as above

    parsed = CronExpression.parse(expression, name=name)
    since = datetime.now(UTC) if after is None else _instant(after, zone_of(tz))
    found = upcoming(parsed, timezone=tz, after=since, count=count)
    for note in parsed.notes:
        tell(f"note: {note}")
    if not found:
        tell("it is not due any more within 50 years")
    if as_json:
        print_json([at.isoformat() for at in found])
        return
    for at in found:
        say(at.isoformat())


def _instant(text: str, zone: "ZoneInfo") -> "datetime":
    from datetime import datetime  # noqa: PLC0415 - as above

    from kernel.model.errors import RequestError, shown  # noqa: PLC0415 - as above

    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise RequestError(f'--after: {shown(text)}: expected ISO 8601, as "2026-01-31T09:00+01:00"') from None
    return at if at.tzinfo else at.replace(tzinfo=zone)
