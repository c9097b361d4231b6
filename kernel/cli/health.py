"""``mainspring health``: whether the running kernel does its work."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

from typing import TYPE_CHECKING, Any

import typer

from kernel.cli.breakers import next_probe
from kernel.cli.command import AsJson, at_desk, example
from kernel.cli.output import Column, print_json, print_table, tell
from kernel.model.counted import counted

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.cli.desk import Desk

_COLUMNS = [
    Column("STATE"), Column("KERNEL"), Column("RUNNING", is_number=True), Column("CLAIMED", is_number=True),
    Column("DEGRADED", is_number=True), Column("SCHEDULES", is_number=True), Column("LOOP LAG", is_number=True),
    Column("PROBLEMS", is_whole=False),
]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    app.command("health", epilog=example("health", "health --json"))(health)


def health(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Asks the running kernel whether it does its work.

    Exit status: 0 healthy, 1 not, or no kernel is alive.
    """
    found = at_desk(context, _ask_all)
    if as_json:
        print_json(found)
    else:
        print_table(
            _COLUMNS,
            [_row(kernel) for kernel in found["kernels"]],
            empty="no kernel is alive: start one by `mainspring run`",
        )
        for kernel in found["kernels"]:
            for problem in kernel["problems"]:
                tell(f"kernel {kernel['kernel']}: {problem}")
            for breaker in kernel.get("breakers", []):
                probe = f"next probe {next_probe(breaker)}"
                tell(f"kernel {kernel['kernel']}: the breaker {breaker['breaker']} is {breaker['state']}; {probe}")
            for job, count in kernel.get("degraded_last_hour", {}).items():
                what = f"{counted(count, 'run')} of {job} ended degraded in the last hour"
                tell(f"kernel {kernel['kernel']}: {what}")
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
    return name | {"healthy": False, "problems": [problem]}


def _degraded(kernel: dict[str, Any]) -> int | None:
    """How many runs in the last hour; None for a kernel that has not answered."""
    found = kernel.get("degraded_last_hour")
    return None if found is None else sum(found.values())


def _row(kernel: dict[str, Any]) -> list[Any]:
    lag = kernel.get("loop_lag_seconds")
    return [
        "healthy" if kernel["healthy"] else "unhealthy", kernel["kernel"], kernel.get("running"), kernel.get("claimed"),
        _degraded(kernel), kernel.get("schedules"), "-" if lag is None else f"{lag * 1000:.1f} ms",
        len(kernel["problems"]) or "none",
    ]  # fmt: skip
