"""``mainspring metrics``."""

# No `from __future__ import annotations`: typer reads the annotations of a command as they are.

from typing import Annotated

import typer

from kernel import UnknownNameError, ask_kernels


def metrics(
    context: typer.Context,
    *,
    openmetrics: Annotated[
        bool, typer.Option("--openmetrics", help="As OpenMetrics; else as Prometheus text.")
    ] = False,
    kernel: Annotated[
        str | None, typer.Option(help="Of several that are alive here the one whose id begins with this.")
    ] = None,
) -> None:
    """Prints the metrics of the running kernel."""
    accept = "application/openmetrics-text" if openmetrics else ""
    found = ask_kernels(context, "metrics", accept=accept)
    chosen = sorted(name for name in found if name.startswith(kernel or ""))
    if not chosen:
        raise UnknownNameError("kernel", str(kernel), found)
    if len(chosen) > 1:
        others = ", ".join(chosen[1:])
        typer.echo(f"the metrics of kernel {chosen[0]}; --kernel chooses another one: {others}", err=True)
    typer.echo(found[chosen[0]]["text"], nl=False)
