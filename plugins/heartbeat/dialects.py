"""How each service wants to be told: one function a dialect, from what happened to the URL that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Callable


class Ping(NamedTuple):
    """``run`` and ``seconds`` (how long it took) are those of a job's run; the kernel's own ping has none."""

    state: Literal["start", "success", "failure"]
    run: str = ""
    seconds: float | None = None


def healthchecks(url: SplitResult, ping: Ping) -> str | None:
    suffix = {"start": "/start", "success": "", "failure": "/fail"}[ping.state]
    return _changed(url, suffix, rid=ping.run)


def cronitor(url: SplitResult, ping: Ping) -> str | None:
    if not ping.run:
        return _changed(url)
    state = {"start": "run", "success": "complete", "failure": "fail"}[ping.state]
    duration = "" if ping.seconds is None else f"duration:{ping.seconds:.3f}"
    return _changed(url, state=state, series=ping.run, metric=duration)


def sentry(url: SplitResult, ping: Ping) -> str | None:
    status = {"start": "in_progress", "success": "ok", "failure": "error"}[ping.state]
    return _changed(url, status=status, check_in_id=ping.run)


def betterstack(url: SplitResult, ping: Ping) -> str | None:
    return None if ping.state == "start" else _changed(url, "/fail" if ping.state == "failure" else "")


def uptime_kuma(url: SplitResult, ping: Ping) -> str | None:
    """The URL as Uptime Kuma shows it ends in ``?status=up&msg=OK&ping=``: what is there gives way."""
    if ping.state == "start":
        return None
    is_up = ping.state == "success"
    milliseconds = "" if ping.seconds is None else f"{ping.seconds * 1000:.0f}"
    said = ("OK" if is_up else "failed") + (f", run {ping.run}" if ping.run else "")
    return _changed(url, status="up" if is_up else "down", msg=said, ping=milliseconds)


DIALECTS: dict[str, Callable[[SplitResult, Ping], str | None]] = {
    "healthchecks": healthchecks,
    "cronitor": cronitor,
    "sentry": sentry,
    "betterstack": betterstack,
    "uptime-kuma": uptime_kuma,
}
"""None is the answer of a service that has no word for this."""
_HOSTS = {
    "hc-ping.com": "healthchecks",
    "healthchecks.io": "healthchecks",
    "cronitor.link": "cronitor",
    "cronitor.io": "cronitor",
    "sentry.io": "sentry",
    "betterstack.com": "betterstack",
    "betteruptime.com": "betterstack",
}


def split(url: str) -> SplitResult:
    """The parts of a URL that can be asked for; ValueError, which does not show it, for any other text."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and url.isprintable()
    except ValueError:
        is_usable = False
    if not is_usable or " " in url:
        raise ValueError("expected the URL that the service shows for this check, beginning with https:// or http://")
    return parts


def dialect_of(url: SplitResult) -> str | None:
    """What a host, or for Uptime Kuma, which everybody hosts himself, the path tells."""
    host = url.hostname or ""
    for known, dialect in _HOSTS.items():
        if host == known or host.endswith(f".{known}"):
            return dialect
    return "uptime-kuma" if "/api/push/" in url.path else None


def _changed(url: SplitResult, suffix: str = "", **query: str) -> str:
    """With the ``suffix`` behind its path and these in its query; those that are empty are left out."""
    kept = [(key, value) for key, value in parse_qsl(url.query, keep_blank_values=True) if key not in query]
    pairs = [*kept, *((key, value) for key, value in query.items() if value)]
    path = url.path.rstrip("/") + suffix if suffix else url.path
    return urlunsplit((url.scheme, url.netloc, path, urlencode(pairs), ""))
