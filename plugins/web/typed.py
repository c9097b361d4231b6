"""The texts of a form that was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web


async def texts_of(request: web.Request) -> dict[str, str]:
    """By the names of the fields; of several of one name the first, and no files."""
    found: dict[str, str] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, str):
            found.setdefault(name, value)
    return found
