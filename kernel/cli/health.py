"""``mainspring health``: whether the running kernel does its work, and its jobs theirs."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

from typing import TYPE_CHECKING, Any

import typer

from kernel.cli.breakers import next_probe
from kernel.cli.command import AsJson, at_desk, example
from kernel.cli.output import Column, moment, print_json, print_table, tell
from kernel.model.duration import words

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.cli.desk import Desk

_COLUMNS = [
    Column("STATE"), Column("SUBJECT"), Column("LAST SUCCESS"), Column("P50", is_number=True),
    Column("P95", is_number=True), Column("NEXT TICK"), Column("SAYS", is_whole=False),
]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    app.command("health", epilog=example("health", "health --json"))(health)


def health(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Asks the running kernel whether it and its jobs do well.

    What plugins say of what they look after is in it; the health plugin knows the jobs.

    Exit status: 0 healthy, 1 not, or no kernel is alive.
    """
    found = at_desk(context, _ask_all)
    if as_json:
        print_json(found)
    else:
        print_table(_COLUMNS, _rows(found["kernels"]), empty="no kernel is alive: start one by `mainspring run`")
        for kernel in found["kernels"]:
            _tell_of(kernel)
    if not found["healthy"]:
        raise typer.Exit(1)


async def _ask_all(desk: "Desk") -> dict[str, Any]:
    kernels = [await _ask(socket) for socket in await desk.sockets()]
    return {"healthy": bool(kernels) and all(kernel["healthy"] for kernel in kernels), "kernels": kernels}


async def _ask(socket: "Path") -> dict[str, Any]:
    from kernel.cli.desk import ask_soon
    from kernel.model.errors import MainspringError

    name = {"kernel": socket.stem.removeprefix("kernel-")}
    try:
        answer: dict[str, Any] = await ask_soon(socket, "health", {})
    except TimeoutError as error:
        problem = str(error)
    except OSError as error:
        problem = f"its socket {socket} cannot be reached: {error.strerror}"
    except MainspringError as error:
        problem = str(error)
    else:
        return name | answer
    return name | {"healthy": False, "problems": [problem], "checks": []}


def _rows(kernels: list[dict[str, Any]]) -> list[list[Any]]:
    """Each kernel with its own checks, then what plugins say: what several kernels say alike, once."""
    rows: list[list[Any]] = []
    said: dict[tuple[str, str, str], dict[str, Any]] = {}
    for kernel in kernels:
        state = "healthy" if kernel["healthy"] else "unhealthy"
        rows.append([state, f"kernel {kernel['kernel']}", *([None] * 4), _figures(kernel)])
        for check in kernel["checks"]:
            if check["plugin"] is None:
                rows.append(_row(check))
            else:
                said.setdefault((check["plugin"], check["subject"], check["verdict"]), check)
    return rows + [_row(check) for check in said.values()]


def _row(check: dict[str, Any]) -> list[Any]:
    details = check["details"]
    lengths = [details.get("p50_seconds"), details.get("p95_seconds")]
    return [
        check["verdict"], check["subject"], _moment(details.get("last_success_at")),
        *(words(length) if isinstance(length, int | float) else None for length in lengths),
        _moment(details.get("next_at")), check["text"],
    ]  # fmt: skip


def _moment(instant: Any) -> str | None:
    # A plugin's value: it may be anything.
    return moment(instant) if isinstance(instant, str) else None


def _figures(kernel: dict[str, Any]) -> str | None:
    if "running" not in kernel:
        return None
    return f"{kernel['running']} running, {kernel['claimed']} claimed"


def _tell_of(kernel: dict[str, Any]) -> None:
    for problem in kernel["problems"]:
        tell(f"kernel {kernel['kernel']}: {problem}")
    for breaker in kernel.get("breakers", []):
        probe = f"next probe {next_probe(breaker)}"
        tell(f"kernel {kernel['kernel']}: the breaker {breaker['breaker']} is {breaker['state']}; {probe}")
