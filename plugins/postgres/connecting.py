"""One connection: what it is asked to be like, and whether it leads to a server that can hold a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg

from kernel.model.errors import ConfigError

if TYPE_CHECKING:
    from .address import Address

CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 9.5
OLDEST_SERVER = (13, "13")

# Statistics may be missing, or of another hour: with these the plans are what the statements were written for,
# walks along an index, whatever the planner thinks of the tables' sizes.
_SETTINGS = {
    "jit": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
    "default_transaction_isolation": "read committed",
    "statement_timeout": "9000",
    "lock_timeout": "5000",
    # A process that is stopped in mid-transaction must not hold its locks for long.
    "idle_in_transaction_session_timeout": "10000",
}
_BEGIN = "BEGIN"
_BEGIN_WITH_SETTINGS = "BEGIN ISOLATION LEVEL READ COMMITTED; " + "; ".join(
    f"SET LOCAL {name} = '{value}'" for name, value in _SETTINGS.items() if not name.startswith("default_")
)


def begin_text(address: Address) -> str:
    """Behind a pooler nothing that is set lasts longer than a transaction."""
    return _BEGIN_WITH_SETTINGS if address.poll_only else _BEGIN


async def connect(address: Address, role: str = "") -> asyncpg.Connection[Any]:
    """``role`` is shown by the server beside the program's name."""
    settings = {"application_name": f"mainspring{role and ' '}{role}", **_SETTINGS}
    try:
        return await asyncpg.connect(
            address.dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            statement_cache_size=0 if address.poll_only else 256,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
            server_settings=None if address.poll_only else settings,
        )
    except ValueError:
        # Its message may hold a piece of the password.
        raise ConfigError(
            "store: no valid PostgreSQL URL; expected postgresql://user:password@host:5432/name"
        ) from None


async def check_server(connection: asyncpg.Connection[Any], address: Address) -> list[str]:
    """ConfigError when no store can be kept there; warnings of what would break its promises."""
    version, encoding, replica, read_only, fsync, commit = await connection.fetchrow(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), pg_is_in_recovery(), "
        "current_setting('transaction_read_only'), current_setting('fsync'), current_setting('synchronous_commit')"
    )
    url = address.url
    if version // 10000 < OLDEST_SERVER[0]:
        found = f"{version // 10000}.{version % 10000}"
        raise ConfigError(f"{url}: PostgreSQL {found} is too old: expected {OLDEST_SERVER[1]} or newer")
    if encoding != "UTF8":
        raise ConfigError(
            f"{url}: the database's encoding is {encoding}: expected UTF8; create it with ENCODING 'UTF8'"
        )
    if replica or read_only == "on":
        raise ConfigError(f"{url}: the server only reads (a replica?); name the primary in the URL")
    off = [name for name, value in (("fsync", fsync), ("synchronous_commit", commit)) if value == "off"]
    return [f"{url}: {name} is off: runs that were accepted may be lost with the server's power" for name in off]
