"""A listener that never comes back from the first event."""

from __future__ import annotations

import asyncio

from kernel import hookimpl


@hookimpl
async def on_event() -> None:
    """Hears everything, once."""
    await asyncio.Event().wait()
