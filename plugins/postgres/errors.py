"""What the server, the network and asyncpg report, in the store's words; never with a password."""

from __future__ import annotations

import asyncpg

from kernel.model.errors import ConfigError, MainspringError, RequestError, StoreError, StoreFullError, printable


class RepeatError(Exception):
    """Another process was faster by a hair: the whole transaction is to be done again."""


_GONE = (
    OSError,
    TimeoutError,
    EOFError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
)
_TRY_AGAIN = (
    RepeatError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.UniqueViolationError,
)
_NO_MENDING = (
    asyncpg.DataError,
    UnicodeEncodeError,
    asyncpg.exceptions.UntranslatableCharacterError,
    asyncpg.exceptions.CharacterNotInRepertoireError,
    OverflowError,
)
_POOLER = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
_HINT_FOR_POOLER = "behind a connection pooler in transaction mode, add poll_only=true to the URL"


def _is_refused_value(error: BaseException) -> bool:
    """asyncpg, or the server, would not take a value: what asyncpg refuses is an InterfaceError too, by descent."""
    return isinstance(error, _NO_MENDING) or (
        isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)
    )


def is_gone(error: BaseException) -> bool:
    """The connection is of no use any more: lost, too slow, or to a server that only reads."""
    return isinstance(error, _GONE) and not _is_refused_value(error)


def was_never_sent(error: BaseException) -> bool:
    """The driver refused to begin, for it had read the server's good-bye: the server has seen nothing of the statement."""
    return isinstance(error, asyncpg.InternalClientError) and str(error).startswith("cannot switch to state")


def may_be_repeated(error: BaseException) -> bool:
    """Nothing was written, and the same transaction may well succeed when it is done again."""
    return isinstance(error, _TRY_AGAIN)


def as_store_error(error: Exception, url: str) -> Exception:  # noqa: PLR0911 - one for each kind
    """The error that the caller gets; what is none of the database's stays as it is."""
    if isinstance(error, MainspringError):
        return error
    if _is_refused_value(error):
        return RequestError(f"{url}: a text or number that cannot be stored: {words_of(error)}")
    if isinstance(error, asyncpg.DiskFullError):
        return StoreFullError(f"{url}: the server's disk is full; free some space, the store goes on by itself")
    if isinstance(error, _POOLER):
        return StoreError(f"{url}: {words_of(error)}; {_HINT_FOR_POOLER}")
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.InvalidSchemaNameError):
        return StoreError(f"{url}: the store's tables are gone ({words_of(error)}); put a backup in their place")
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return StoreError(
            f"{url}: {words_of(error)}; the connection's user needs the rights of the tables' owner (GRANT owner TO user)"
        )
    if is_gone(error) or isinstance(error, asyncpg.PostgresError):
        return StoreError(f"{url}: {words_of(error)}; tried again, it may work")
    return error


def as_config_error(error: Exception, url: str) -> Exception:  # noqa: PLR0911 - one for each kind
    """The same while the store is being opened: what an operator has to mend."""
    said = words_of(error)
    if isinstance(error, MainspringError):
        return error
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):  # a wrong password too
        return ConfigError(f"{url}: the server lets this user not in: {said}; look at user and password in the URL")
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return ConfigError(f"{url}: {said}; create the database, or name another one in the URL")
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return ConfigError(f"{url}: {said}; grant this user CREATE on the database, or USAGE of the store's schema")
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return ConfigError(f"{url}: the server only reads (a replica?); name the primary in the URL")
    if isinstance(error, asyncpg.TooManyConnectionsError | asyncpg.CannotConnectNowError | asyncpg.DiskFullError):
        return as_store_error(error, url)
    if isinstance(error, (*_POOLER, asyncpg.ProtocolViolationError)):
        return ConfigError(f"{url}: {said}; {_HINT_FOR_POOLER}")
    if isinstance(error, OSError | TimeoutError):
        return ConfigError(f"{url}: the server cannot be reached: {said}; is it up, and are host and port right?")
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return ConfigError(f"{url}: the store cannot be opened: {said}")
    return error


def words_of(error: BaseException) -> str:
    """What it says, in one line; its kind when it says nothing."""
    said = " ".join(str(error).split())
    if isinstance(error, TimeoutError):
        said = said or "no answer in time"
    return printable(said, 300) or type(error).__name__
