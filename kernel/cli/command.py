"""What the files of commands share: options that several take, the way to the desk, and examples in help texts."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kernel.cli.desk import Desk

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="Prints one JSON document.")]
Payload = Annotated[
    str | None, typer.Option(metavar="JSON", help="The job's parameters by name, as a JSON object; - reads stdin.")
]


def example(*lines: str) -> str:
    """The end of a help text."""
    # \b keeps the lines as they are.
    return "\n".join(
        ["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  mainspring {line}" for line in lines)]
    )


def group(app: typer.Typer, name: str, about: str, *, works_alone: bool = False) -> typer.Typer:
    """A command that has commands of its own; ``works_alone``: without one of these it does something too."""
    made = typer.Typer(
        name=name,
        help=about,
        no_args_is_help=not works_alone,
        invoke_without_command=works_alone,
        rich_markup_mode=None,
    )
    app.add_typer(made)
    return made


def at_desk(context: typer.Context, work: "Callable[[Desk], Awaitable[T]]", *, creates: bool = False) -> T:
    """The result of ``work``, given a desk that is open. ``creates``: there may be no store yet; this makes it."""
    import asyncio

    from kernel.cli.desk import Desk

    async def visit() -> T:
        async with Desk(context.obj, creates=creates) as desk:
            return await work(desk)

    return asyncio.run(visit())


def call(context: typer.Context, operation: str, *, creates: bool = False, **arguments: Any) -> Any:
    """The answer to one operation of control."""
    return at_desk(context, lambda desk: desk.call(operation, **arguments), creates=creates)


def duration_of(option: str, text: str | None, *, zero: bool = False) -> float | None:
    """The seconds that an option gives, digits alone being seconds too; ConfigError begins with the option's name."""
    from kernel.model.duration import seconds

    if text is None:
        return None
    try:
        given: str | float = float(text)
    except ValueError:
        given = text
    return seconds(given, zero=zero, option=option)


_EXPECTED = """expected an object, as '{"car_id": "42"}'"""
_KINDS = {list: "a list", str: "text", int: "a number", float: "a number", bool: "a truth value", type(None): "null"}


def payload_of(text: str | None) -> Any:
    """What ``--payload`` gives; RequestError when it is no JSON object, or has a key twice."""
    from kernel.model.errors import RequestError, shown

    if text is None:
        return None
    given = sys.stdin.read() if text == "-" else text
    try:
        found = json.loads(given, object_pairs_hook=_object)
    except RecursionError:
        raise RequestError(f"--payload: {shown(given)} is nested too deep") from None
    except ValueError as error:
        found = f"{shown(given)} is not JSON: {error}"
        raise RequestError(f"--payload: {found}; {_EXPECTED}") from None
    if not isinstance(found, dict):
        raise RequestError(f"--payload: {shown(given.strip())} is {_KINDS[type(found)]}; {_EXPECTED}")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON takes the last one of two values of a key, and who wrote both meant something else."""
    from kernel.model.errors import RequestError, shown

    found = dict(pairs)
    if len(found) < len(pairs):
        name = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise RequestError(f"--payload: the key {shown(name)} stands there twice; expected each key once")
    return found
