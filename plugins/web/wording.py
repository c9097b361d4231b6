"""How values read on a page: the filters of the templates."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from markupsafe import Markup, escape

from kernel import words

from .visible import block, data, line

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST = 10_000
_PARTS = re.compile(r"[^._]*[._]+|[^._]+")
_CODE = re.compile(r"(?::[\w:]+:)?(`{1,2})([^`]+)\1")
TONES = {
    "completed": "good", "healthy": "good", "enabled": "good", "alive": "good", "closed": "good", "run": "good",
    "running": "live", "half_open": "live",
    "degraded": "warn", "retrying": "warn", "paused": "warn", "long": "warn", "late": "bad", "quarantined": "warn",
    "skipped": "warn", "folded": "quiet", "missed": "bad", "stopping": "warn", "unknown": "warn",
    "failed": "bad", "stuck": "bad", "failing": "bad", "broken": "bad", "open": "bad", "lost": "bad", "blocked": "quiet",
    "expired": "bad",
}  # fmt: skip
"""State or verdict -> how it looks; what is not here is quiet. The word itself always stands beside the colour."""


def epoch(instant: Any) -> float | None:
    """Of epoch seconds or ISO 8601; None of what is neither."""
    if isinstance(instant, int | float):
        return float(instant)
    try:
        return datetime.fromisoformat(str(instant)).timestamp()
    except ValueError:
        return None


def duration(seconds: float | None) -> str:
    return "-" if seconds is None else words(float(seconds))


def ago(instant: Any, now: float) -> Markup:
    """How far it is from now, and the instant itself for who points at it: ``3 m ago``, ``in 2 h``."""
    at = epoch(instant)
    if at is None:
        return escape("-" if instant is None else instant)
    away = at - now
    text = "now" if abs(away) < 1 else f"in {_roughly(away)}" if away > 0 else f"{_roughly(-away)} ago"
    return _time(at, text)


def clock(instant: Any, form: str = "%Y-%m-%d %H:%M:%S") -> Markup:
    """In UTC; pages show it in the reader's own time zone where scripts run."""
    at = epoch(instant)
    if at is None:
        return escape("-" if instant is None else instant)
    return _time(at, datetime.fromtimestamp(at, UTC).strftime(form))


def day(at: float) -> str:
    """The date, for an address: ``2026-11-24``."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def instant(at: float) -> str:
    """ISO 8601, for an address; of a fraction of a second the next whole microsecond, so that it is not before ``at``."""
    return datetime.fromtimestamp(at if at == int(at) else at + 1e-6, UTC).isoformat()


def _time(at: float, text: str) -> Markup:
    try:
        whole = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return escape(text)
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(whole, text)


def _roughly(seconds: float) -> str:
    """With one unit only."""
    return " ".join(words(float(round(seconds))).split()[:2])


def short(run: str) -> str:
    """The end of a run's id: its beginning is the time, which neighbours share."""
    return run[-8:]


def pretty(value: Any) -> str:
    """JSON in lines, cut where it is very long."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\n… {len(text) - _LONGEST:,} more characters"


def tone(state: Any) -> str:
    return TONES.get(str(state), "quiet")


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:,}"


def percent(share: float) -> str:
    """Rounded down: 100 % are all of them."""
    tenths = math.floor(share * 1000 + 1e-9)
    return f"{tenths // 10} %" if tenths % 10 == 0 else f"{tenths / 10} %"


def plural(count: int, one: str, many: str = "") -> str:
    """``1 run``, ``1,200 runs``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def query(values: dict[str, Any], **changed: Any) -> str:
    """``?a=b`` of what is given and not empty, for a link; ``changed`` replaces or, being None, leaves out."""
    given = {key: value for key, value in (values | changed).items() if value not in (None, "", False)}
    return f"?{urlencode(given)}" if given else "?"


def parts(name: str) -> Markup:
    """A name that a narrow column may break after its dots and underscores, rather than within a word."""
    return Markup("<wbr>").join(_PARTS.findall(name))


def marked(text: str) -> Markup:
    """The text of a docstring, with what stands in its marks of code, ``force``, as code."""
    pieces, end = list[Markup](), 0
    for found in _CODE.finditer(text):
        pieces += [escape(text[end : found.start()]), Markup("<code>{}</code>").format(found[2])]
        end = found.end()
    return Markup("").join([*pieces, escape(text[end:])])


FILTERS: dict[str, Callable[..., Any]] = {
    "ago": ago, "clock": clock, "duration": duration, "short": short, "pretty": pretty, "tone": tone, "number": number,
    "plural": plural, "percent": percent, "parts": parts, "marked": marked,
    "query": query, "epoch": epoch, "day": day, "instant": instant, "line": line, "block": block, "data": data,
}  # fmt: skip
