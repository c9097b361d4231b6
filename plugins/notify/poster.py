"""Sends JSON by HTTP to where an operator has said, and nowhere else: used by the channels that are webhooks.

Addresses that are not public are refused unless the settings allow the host by name. What is checked is the resolved address to
which the connection is made, so that a name cannot lead elsewhere; redirects are not followed.
"""

from __future__ import annotations

import asyncio
import email.utils
import math
import os
import re
import socket
import time
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, SecretStr
from yarl import URL

from .addresses import literal, why_refused
from .channel import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiohttp import ClientSession
    from aiohttp.abc import AbstractResolver

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_LONGEST_WAIT = 3600.0
_AGAIN = {408, 425, 429}


def checked_url(secret: SecretStr) -> SecretStr:
    try:
        url = URL(secret.get_secret_value())
        is_usable = url.scheme in {"http", "https"} and bool(url.host) and url.port is not None
    except (ValueError, TypeError):
        is_usable = False
    if not is_usable or re.search(r"[\s\x00-\x1f]", secret.get_secret_value()):
        raise ValueError('expected an http or https URL, as "https://hooks.example.com/…"')
    return secret


def checked_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or not value.get_secret_value().isprintable():
            raise ValueError("expected names and values of HTTP headers")
    return headers


WebhookUrl = Annotated[SecretStr, AfterValidator(checked_url)]
Headers = Annotated[dict[str, SecretStr], AfterValidator(checked_headers)]


def host_of(url: SecretStr) -> str:
    return URL(url.get_secret_value()).host or ""


def why_never(host: str, allowed: Collection[str]) -> str:
    """Why no notice will be sent to this host, as far as that can be said without asking for its address."""
    address = literal(host) or (
        "127.0.0.1" if host.rstrip(".").lower() in {"localhost", "localhost.localdomain"} else ""
    )
    why = why_refused(address) if address and host.lower() not in allowed else ""
    return f"{host} is {why}; expected a public one, or the host in allow_hosts" if why else ""


class Poster:
    """Connects at its first call, and keeps its connection until it is closed."""

    def __init__(
        self, url: SecretStr, headers: Mapping[str, SecretStr], allowed: Collection[str], timeout_seconds: float
    ) -> None:
        self._url = URL(url.get_secret_value())
        self._headers = {name: value.get_secret_value() for name, value in headers.items()}
        self._allowed = allowed
        self._timeout_seconds = timeout_seconds
        self._session: ClientSession | None = None

    async def post(self, body: Any) -> None:
        """DeliveryError unless the answer is a 2xx."""
        import aiohttp  # noqa: PLC0415 - slow to import, and the first notice may never come

        host = self._url.host or ""
        if why := why_never(host, self._allowed):
            raise DeliveryError(why)
        if self._session is None:
            self._session = self._opened()
        try:
            async with self._session.post(
                self._url, json=body, headers=self._headers, allow_redirects=False
            ) as response:
                status, wait = response.status, _seconds(response.headers.get("Retry-After"))
        except TimeoutError:
            raise DeliveryError(f"{host}: no answer within {self._timeout_seconds:g} s") from None
        except _RefusedError as error:
            raise DeliveryError(str(error)) from None
        except aiohttp.ClientConnectorError as error:
            cause = error.os_error
            if isinstance(cause, _RefusedError):
                raise DeliveryError(str(cause)) from None
            why = (
                os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror or type(cause).__name__
            )
            raise DeliveryError(f"{host}: {why}") from None
        except (aiohttp.ClientError, OSError) as error:
            # Its text may have the URL in it.
            raise DeliveryError(f"{host}: {type(error).__name__}") from None
        if 200 <= status < 300:
            return
        redirects = "; redirects are not followed" if 300 <= status < 400 else ""
        is_final = 400 <= status < 500 and status not in _AGAIN
        raise DeliveryError(f"{host}: answered {status}{redirects}", retry_after_seconds=wait, is_final=is_final)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> ClientSession:
        import aiohttp  # noqa: PLC0415 - as above

        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(self._timeout_seconds),
            connector=aiohttp.TCPConnector(resolver=_checking_resolver(self._allowed), use_dns_cache=False, limit=2),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )


class _RefusedError(OSError):
    """The name leads to where no notice may go."""


def _checking_resolver(allowed: Collection[str]) -> AbstractResolver:
    from aiohttp.abc import AbstractResolver, ResolveResult  # noqa: PLC0415 - as above

    class Resolver(AbstractResolver):
        """What it answers is what is connected to: there is no second look-up between the check and the connection."""

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
            addresses = [(str(entry[4][0]), entry[0], entry[2]) for entry in found]
            if host.lower() not in allowed:
                for address, _, _ in addresses:
                    if why := why_refused(address):
                        raise _RefusedError(
                            f"{host} leads to {address}, {why}; expected a public one, or the host in allow_hosts"
                        )
            return [
                ResolveResult(
                    hostname=host, host=address, port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
                )
                for address, kind, protocol in addresses
            ]

        async def close(self) -> None:
            """Nothing is open."""

    return Resolver()


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After, a number of seconds or a date, as seconds from now; at most an hour."""
    if not retry_after:
        return None
    if re.fullmatch("[0-9]{1,9}", retry_after.strip()):
        return min(float(retry_after), _LONGEST_WAIT)
    try:
        wait = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(wait, 0.0), _LONGEST_WAIT) if math.isfinite(wait) else None
