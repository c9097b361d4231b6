"""``mainspring db``: the store's schema."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kernel.cli.command import AsJson, example, group
from kernel.cli.output import print_fields, print_json, say, tell

if TYPE_CHECKING:
    from pathlib import Path


def add_to(app: typer.Typer) -> None:
    database = group(app, "db", "Shows the store's schema, and brings it up to date.")
    database.command("status", epilog=example("db status", "db status --check --json"))(status)
    database.command("upgrade", epilog=example("db upgrade"))(upgrade)


def status(
    context: typer.Context,
    *,
    check: Annotated[bool, typer.Option("--check", help="Reads the whole file to see whether it is sound.")] = False,
    as_json: AsJson = False,
) -> None:
    """Shows the store's place, size and schema."""
    found = _ask(context.obj, "status", check=check)
    if found is None:
        if as_json:
            print_json(None)
        return
    fields: dict[str, Any] = found._asdict()
    print_json(fields) if as_json else print_fields(fields)
    if found.version is not None and found.version < found.newest_version:
        tell(
            "the schema is older than this program: `mainspring db upgrade`, or `mainspring run`, brings it up to date"
        )


def upgrade(context: typer.Context) -> None:
    """Brings the store's schema up to date.

    It makes a backup beside the file first. `run` does the same when it starts.
    """
    found = _ask(context.obj, "upgrade")
    if found is not None:
        before, now = found
        say(f"the schema is version {now}" + (f", it was {before}" if before != now else " already"))


def _ask(path: "Path", operation: str, **arguments: Any) -> Any:
    """What the store answers, which need not be open for it; None, and a message, when it does not exist yet."""
    import asyncio

    from kernel.config import load_config_for_command
    from kernel.model.errors import RequestError
    from kernel.plugin_host import open_store
    from kernel.plugin_store import store_file

    async def ask() -> Any:
        url = load_config_for_command(path).kernel.store
        store = await open_store(url)
        method = getattr(store, operation, None)
        if method is None:
            raise RequestError(f"db {operation}: {store.url} has no schema: it is gone with its kernel")
        file = store_file(url)
        if file is not None and not file.exists():
            tell(f"no store at {file} yet: `mainspring run` makes one")
            return None
        return await method(**arguments)

    return asyncio.run(ask())
