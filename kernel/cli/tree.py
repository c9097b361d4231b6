"""All commands in the order in which the help lists them, and the options that stand before a command."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kernel.cli import (
    breakers,
    check,
    database,
    enqueue,
    events,
    explain,
    health,
    jobs,
    kernels,
    plugins,
    queues,
    run,
    runs,
    schedules,
    top,
    upcoming,
)
from kernel.cli.output import tell
from kernel.cli.question import INTERRUPTED, was_interrupted

ABOUT = """Runs the jobs of plugins, on timers and from a durable priority queue.

Start a kernel by `mainspring run`; the other commands work beside a running kernel and without one.
"""
ORDER = (
    "run", "check", "config", "plugins", "jobs", "schedules", "next", "enqueue", "runs", "queues", "breakers", "explain",
    "events", "health", "kernels", "top", "db",
)  # fmt: skip
_GROUPS = (
    run, check, plugins, jobs, schedules, upcoming, enqueue, runs, queues, breakers, explain, events, health, kernels,
    top, database,
)  # fmt: skip


class Tree(TyperGroup):
    """The top of the commands. For a name that is not one of ours the plugins are asked, which takes their code."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is None and not ctx.resilient_parsing and Path(ctx.params["config"]).exists():
            from kernel.cli.plugin_commands import commands_of_plugins  # noqa: PLC0415 - for an unknown name only

            found = commands_of_plugins(Path(ctx.params["config"])).get(cmd_name)
        return found

    def invoke(self, ctx: Any) -> Any:
        """Ctrl-C at a question of a plugin's command ends it as it ends everything else."""
        try:
            return super().invoke(ctx)
        except typer.Abort as unanswered:
            if not was_interrupted(unanswered):
                raise
            tell("\nstopped")
            raise typer.Exit(INTERRUPTED) from None

    def list_commands(self, ctx: Any) -> list[str]:
        found = super().list_commands(ctx)
        return [name for name in ORDER if name in found] + [name for name in found if name not in ORDER]


def make_app() -> typer.Typer:
    """The whole command line. Help is plain text: rich would take half of the time that `--help` may take."""
    app = typer.Typer(
        name="mainspring",
        cls=Tree,
        help=ABOUT,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_before)
    for group in _GROUPS:
        group.add_to(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - reads the disk, for this option only

        typer.echo(f"mainspring {version('mainspring')}")
        raise typer.Exit


def _before(
    context: typer.Context,
    config: Annotated[Path, typer.Option(envvar="MAINSPRING_CONFIG", metavar="PATH", help="The configuration.")] = Path(
        "plugins.toml"
    ),
    version: Annotated[  # noqa: ARG001 - its callback does it
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Prints the version.")
    ] = False,
) -> None:
    context.obj = config
