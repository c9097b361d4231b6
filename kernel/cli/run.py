"""``mainspring run``: a kernel in the foreground."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

from enum import StrEnum
from typing import Annotated

import typer

from kernel.cli.command import example


class LogFormat(StrEnum):
    CONSOLE = "console"
    JSON = "json"


def add_to(app: typer.Typer) -> None:
    app.command("run", epilog=example("run", "run --log-format json", "run --reload"))(run)


def run(
    context: typer.Context,
    *,
    reload: Annotated[
        bool, typer.Option("--reload", help="Starts anew when Python code changes; needs the extra mainspring[reload].")
    ] = False,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(
            help="How it logs, on a terminal too; else kernel.log_format decides, and a terminal gets short lines."
        ),
    ] = None,
) -> None:
    """Runs a kernel in the foreground until Ctrl-C or SIGTERM.

    The first signal lets attempts end by themselves for kernel.shutdown_grace; a second one cancels them now; a third
    one ends the process at once. What was cut short is queued again and loses no attempt. SIGHUP reads plugins.toml
    again. SIGUSR1 prints what every thread does.

    Exit status: 0 when all attempts ended by themselves, 1 when some were cut short, 2 when the configuration is wrong.
    """
    if reload:
        from kernel.cli.reloader import Reloader

        raise typer.Exit(Reloader(context.obj, log_format).run())
    from kernel.cli.foreground import Foreground

    raise typer.Exit(Foreground(context.obj, log_format).run())
