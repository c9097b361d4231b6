"""One connection as the steps see it: statements by name, and what is to be told once all is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    from .known import Known
    from .statements import Statements


class Database:
    """Lives as long as one transaction, or one statement that is its own."""

    def __init__(self, connection: asyncpg.Connection[Any], statements: Statements, known: Known) -> None:
        self.connection = connection
        self.statements = statements
        self.known = known
        self.has_news = False
        """Whether other processes should look: something may be claimed, has ended or was changed by an operator."""
        self.after_commit: list[Callable[[], None]] = []

    async def rows(self, name: str, *values: Any) -> list[Any]:
        found: list[Any] = await self.connection.fetch(self.statements[name], *values)
        return found

    async def row(self, name: str, *values: Any) -> Any:
        """The one row of a statement, or None."""
        return await self.connection.fetchrow(self.statements[name], *values)

    async def value(self, name: str, *values: Any) -> Any:
        """The first value of the one row of a statement."""
        return await self.connection.fetchval(self.statements[name], *values)

    async def change(self, name: str, *values: Any) -> int:
        """How many rows a statement changed."""
        status: str = await self.connection.execute(self.statements[name], *values)
        return int(status.rpartition(" ")[2])

    async def signal(self, name: str) -> None:
        await self.change("signal", name)
        self.has_news = True
