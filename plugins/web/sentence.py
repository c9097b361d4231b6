"""A sentence of the kernel as a page shows it: instants as far from now as they are, ids of runs as links."""

from __future__ import annotations

import re

from markupsafe import Markup

from .visible import line
from .wording import ago, clock, short

MOST_CHARACTERS = 600
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_INSTANT = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?\+00:00"
_MARKED = re.compile(
    f"(?:at|since) (?P<past>{_INSTANT})|(?P<instant>{_INSTANT})|kernel (?P<kernel>{_ID})|(?P<run>{_ID})"
)
_LINK = Markup('<a class="id" href="/runs/{0}" title="{0}">{1}</a>')


def sentence(text: str, now: float, *, as_begun: bool = False) -> Markup:
    """``it failed at 2026-…, attempt 2`` becomes ``It failed 3 m ago, attempt 2``.

    ``as_begun``: its first letter stays, for it may be that of a name.
    """
    whole = line(text, MOST_CHARACTERS)
    whole = whole if as_begun else whole[:1].upper() + whole[1:]
    parts, end = list[Markup](), 0
    for found in _MARKED.finditer(whole):
        parts += [Markup.escape(whole[end : found.start()]), _shown(found, now)]
        end = found.end()
    return Markup("").join([*parts, Markup.escape(whole[end:])])


def _shown(found: re.Match[str], now: float) -> Markup:
    if found["past"]:
        return ago(found["past"], now)
    if found["instant"]:
        return clock(found["instant"])
    if found["kernel"]:
        return Markup('kernel <code title="{0}">{1}</code>').format(found["kernel"], short(found["kernel"]))
    return _LINK.format(found["run"], short(found["run"]))
