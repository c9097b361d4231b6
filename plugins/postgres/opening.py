"""Opening a store: every way in which that can fail is one clear error."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .clock import elapsed
from .connecting import check_server, connect
from .connections import close_quietly
from .errors import as_config_error
from .schema import upgrade

if TYPE_CHECKING:
    import asyncpg

    from kernel.contracts.store import KernelRow

    from .address import Address
    from .clock import ServerClock
    from .statements import Statements

log = logging.getLogger(__name__)


async def open_at(
    address: Address,
    statements: Statements,
    clock: ServerClock,
    kernel: KernelRow | None = None,
    lease_seconds: float = 0.0,
) -> tuple[asyncpg.Connection[Any], int | None, int]:
    """Makes or upgrades the schema, reads the server's ``clock``, and signs the kernel in.

    A connection, which is the caller's, and the schema's version before and now.
    """
    connection = None
    try:
        connection = await connect(address)
        # One transaction: a pooler may give each statement outside of one to another of its connections.
        async with connection.transaction():
            warnings = await check_server(connection, address)
            before, now = await upgrade(connection, address, statements)
            begun = elapsed()
            clock.was_read(await connection.fetchval(statements["clock"]), begun, elapsed())
            if kernel is not None:
                for warning in warnings:
                    log.warning("%s", warning)
                await connection.execute(statements["kernel_put"], *clock.of(kernel), lease_seconds)
    except BaseException as error:
        if connection is not None:
            await close_quietly(connection)
        if not isinstance(error, Exception):
            raise
        raise as_config_error(error, address.url) from error
    return connection, before, now
