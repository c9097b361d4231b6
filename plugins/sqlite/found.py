"""Runs as they stand before something is done to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from .database import json_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .database import Database


class Found(NamedTuple):
    """As ``ended.sql`` gives it."""

    seq: int
    id: str
    job: str
    queue: str
    state: int
    schedule: str | None
    unique_key: str | None
    concurrency_key: str | None
    rate_key: str | None


def find_ids(database: Database, ids: Sequence[str]) -> list[Found]:
    """What is there of these ids, in their order, each once."""
    wanted = list(dict.fromkeys(ids))
    numbers = sorted(database.list_each("seqs", list(enumerate(wanted)))) if wanted else []
    return find(database, [seq for _, seq, _ in numbers])


def find(database: Database, seqs: Sequence[int]) -> list[Found]:
    if not seqs:
        return []
    rows = json.loads(database.value("ended", json_of(seqs)))
    return [Found(seq, *row) for seq, row in zip(seqs, rows, strict=True)]
