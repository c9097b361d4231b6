"""``mainspring kernels``: which kernels work on the store."""

from typing import Any

import typer

from kernel.cli.command import AsJson, call, example, group
from kernel.cli.output import Column, moment, print_json, print_table

_COLUMNS = [
    Column("KERNEL"), Column("STATE"), Column("HOST"), Column("PID", is_number=True), Column("STARTED"),
    Column("SEEN", is_number=True), Column("RUNNING", is_number=True),
]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    kernels = group(app, "kernels", "Lists the kernels that share the store.")
    kernels.command("list", epilog=example("kernels list", "kernels list --json"))(list_kernels)


def list_kernels(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Lists the kernels on the store: alive, stopping, or lost.

    Lost is one that has died, and of which nobody has taken up the runs yet.
    """
    found = call(context, "kernels")
    if as_json:
        print_json(found)
    else:
        print_table(
            _COLUMNS, [_row(kernel) for kernel in found], empty="no kernel is alive: start one by `mainspring run`"
        )


def _row(kernel: dict[str, Any]) -> list[Any]:
    return [
        kernel["kernel"], kernel["state"], kernel["host"], kernel["pid"], moment(kernel["started_at"]),
        f"{kernel['seen_seconds']:.0f} s ago", kernel["running"],
    ]  # fmt: skip
