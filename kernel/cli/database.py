"""``mainspring db``: the store's schema."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

from typing import TYPE_CHECKING, Any

import typer

from kernel.cli.command import AsJson, example, group
from kernel.cli.output import print_fields, print_json, say

if TYPE_CHECKING:
    from pathlib import Path


def add_to(app: typer.Typer) -> None:
    database = group(app, "db", "The store's schema.")
    database.command("status", epilog=example("db status", "db status --json"))(status)
    database.command("upgrade", epilog=example("db upgrade"))(upgrade)


def status(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Shows where the store is, and the version of its schema beside the one that this program needs."""
    found = _ask(context.obj, "status")
    print_json(found) if as_json else print_fields(found)


def upgrade(context: typer.Context) -> None:
    """Brings the store's schema up to date, having made a backup beside it. `run` does the same when it starts."""
    found = _ask(context.obj, "upgrade")
    say(str(found))


def _ask(path: "Path", what: str) -> Any:
    import asyncio

    from kernel.config import load_config
    from kernel.model.errors import RequestError
    from kernel.plugin_host import open_store

    async def ask() -> Any:
        store = await open_store(load_config(path).kernel.store)
        method = getattr(store, what, None)
        if method is None:
            raise RequestError(f"db {what}: {store.url} has no schema")
        return await method()

    return asyncio.run(ask())
