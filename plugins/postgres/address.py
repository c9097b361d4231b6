"""Where the store is, as its URL says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from kernel.model.errors import ConfigError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SCHEMA = "mainspring"
DEFAULT_POOL = 4
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_OWN = ("schema", "pool", "poll_only")
_OF_THE_SERVER = (
    "application_name", "database", "dbname", "gsslib", "host", "krbsrvname", "passfile", "password", "port", "service",
    "servicefile", "sslcert", "sslcrl", "sslkey", "sslmode", "sslpassword", "sslrootcert", "ssl_max_protocol_version",
    "ssl_min_protocol_version", "target_session_attrs", "user",
)  # fmt: skip
_SECRET = frozenset({"password", "sslpassword"})
_FORM = "postgresql://user:password@host:5432/database"


@dataclass(frozen=True, slots=True)
class Address:
    """``dsn`` is the URL without the options that are ours, its password included: never to be shown; ``url`` may be."""

    dsn: str
    url: str
    schema: str = DEFAULT_SCHEMA
    pool: int = DEFAULT_POOL
    poll_only: bool = False

    def __repr__(self) -> str:
        return f"Address({self.url!r})"


def address_of(url: str) -> Address:
    """ConfigError in one line, which shows no password, when the URL or one of its options is not as expected."""
    if "#" in url:
        raise ConfigError(f"store: a # in a PostgreSQL URL must be written as %23; expected {_FORM}")
    try:
        parts = urlsplit(url)
        _ = parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        # Its message may hold a piece of the password.
        raise ConfigError(f"store: no valid PostgreSQL URL; expected {_FORM}") from None
    for name in options:
        if name not in _OWN and name not in _OF_THE_SERVER:
            known = ", ".join(_OWN)
            near = nearest(name, [*_OWN, *_OF_THE_SERVER])
            raise ConfigError(
                f"store: {shown(name)} is no option of a PostgreSQL URL; expected {known}, or one of libpq's.{near}"
            )
    theirs = {name: value for name, value in options.items() if name not in _OWN}
    return Address(
        dsn=urlunsplit(parts._replace(query=urlencode(theirs, quote_via=quote))),
        url=_without_secrets(url, options),
        schema=_schema(options.get("schema", DEFAULT_SCHEMA)),
        pool=_pool(options.get("pool", str(DEFAULT_POOL))),
        poll_only=_flag("poll_only", options.get("poll_only", "false")),
    )


def _without_secrets(url: str, options: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    kept = {name: value for name, value in options.items() if name not in _SECRET}
    query = urlencode(kept, quote_via=quote, safe="/")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{place}", query=query))


def _schema(text: str) -> str:
    if _SCHEMA.fullmatch(text) and not text.startswith("pg_"):
        return text
    raise ConfigError(
        f"store: schema={shown(text)}: expected at most 40 of a-z, 0-9 and _, no digit first, and not pg_ first"
    )


def _pool(text: str) -> int:
    if text.isascii() and text.isdigit() and 2 <= int(text[:9]) <= 100:
        return int(text)
    raise ConfigError(f"store: pool={shown(text)}: expected a number of connections from 2 to 100")


def _flag(name: str, text: str) -> bool:
    if text.lower() in {"true", "1", "yes", "on"}:
        return True
    if text.lower() in {"false", "0", "no", "off"}:
        return False
    raise ConfigError(f"store: {name}={shown(text)}: expected true or false")
