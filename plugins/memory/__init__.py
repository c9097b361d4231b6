"""Keeps runs and schedules in the memory of this process, for ``memory://``: fast, and gone when the kernel ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel import hookimpl

from .store import MemoryStore

if TYPE_CHECKING:
    from kernel.contracts.store import Store

SCHEME = "memory:"


@hookimpl
def open_store(url: str) -> Store | None:
    """A new, empty store for each URL of this scheme, whatever stands after it."""
    return MemoryStore(url) if url.startswith(SCHEME) else None
