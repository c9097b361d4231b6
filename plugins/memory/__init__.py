"""Keeps runs and schedules in the memory of this process, for ``memory://``: fast, and gone when the kernel ends."""

from __future__ import annotations

from kernel import hookimpl

from .store import MemoryStore


@hookimpl
def open_store(url: str) -> MemoryStore | None:
    return MemoryStore(url) if url.partition("://")[0] == "memory" else None
