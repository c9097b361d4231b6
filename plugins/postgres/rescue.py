"""What dead kernels had claimed is taken up again, as ``decide`` says; and what a kernel does that was taken for dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.contracts.store import KernelRow

from .finish import finish
from .rows import run_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernel.model.run import Change, Run

    from .database import Database


async def rescue(
    database: Database, kernel: str, decide: Callable[[KernelRow | None, Sequence[Run]], Sequence[Change]]
) -> list[Run]:
    """Dead is whose lease has run out, and who holds runs without being there at all."""
    dead: list[tuple[str, KernelRow | None]] = [
        (row[0], KernelRow(*row)) for row in await database.rows("kernels_dead", kernel)
    ]
    dead += [(row[0], None) for row in await database.rows("holders", kernel)]
    rescued: list[str] = []
    changes: list[Change] = []
    charges: list[tuple[str, str, int]] = []
    for holder, row in dead:
        held = {run.id: run for run in map(run_of, await database.rows("held_by", holder))}
        decided = list(decide(row, list(held.values()))) if held else []
        changes += decided
        rescued += held
        if row is not None:
            charges += [
                (holder, change.id, change.token)
                for change in decided
                if change.id in held and (change.losses or 0) > held[change.id].losses
            ]
            await database.change("kernel_remove", holder)
    cancelled = [one.id for one in (await finish(database, changes)).cancelled] if changes else []
    if charges:
        await database.change("charge_put", *zip(*charges, strict=True))
    return [run_of(row) for ids in (rescued, cancelled) if ids for row in await database.rows("runs_of", ids)]
