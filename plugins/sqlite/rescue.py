"""What dead kernels had claimed is taken up again, as ``decide`` says."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING

from .database import json_of
from .finish import finish
from .found import find_ids
from .rows import run_of
from .small import kernels, sign_out

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from kernel.contracts.store import KernelRow
    from kernel.model.run import Change, Run

    from .database import Database


def rescue(
    database: Database,
    alive: Collection[str | None],
    decide: Callable[[KernelRow | None, Sequence[Run]], Sequence[Change]],
) -> list[Run]:
    """All kernels but those that are ``alive`` are dead."""
    dead = {row.id: row for row in kernels(database) if row.id not in alive}
    seqs = database.value("running_elsewhere", json.dumps([kernel for kernel in alive if kernel is not None]))
    changes: list[Change] = []
    for holder, held in groupby([run_of(row) for row in database.rows("runs", seqs)], key=lambda run: run.kernel):
        changes += decide(dead.get(holder or ""), list(held))
    cancelled = finish(database, changes).cancelled if changes else ()
    if dead:
        sign_out(database, dead)
    rescued = [run_of(row) for row in database.rows("runs", seqs)]
    if cancelled:
        found = find_ids(database, [one.id for one in cancelled])
        rescued += [run_of(row) for row in database.rows("runs", json_of([one.seq for one in found]))]
    return rescued
