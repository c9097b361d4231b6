"""The breakers' rows, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel.contracts.store import BreakerRow


class Breakers:
    def __init__(self) -> None:
        self._rows: dict[str, BreakerRow] = {}
        self.changes = 0

    def all(self) -> list[BreakerRow]:
        """In the order of their names."""
        return sorted(self._rows.values(), key=lambda row: row.name)

    def put(self, row: BreakerRow) -> bool:
        """False when the version that is there is not the one before."""
        there = self._rows.get(row.name)
        if row.version != (0 if there is None else there.version) + 1:
            return False
        self._rows[row.name] = row
        self.changes += 1
        return True
