"""How a plugin's own command asks the plugin in the running kernel: its hook ``answer``."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

from typing import TYPE_CHECKING, Any

from kernel.cli.command import at_desk

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from kernel.cli.desk import Desk


def ask_kernels(context: "typer.Context", question: str, **about: Any) -> dict[str, Any]:
    """What each kernel that is alive here answers, by the first letters of its id; StoreError when none does."""

    async def ask_all(desk: "Desk") -> dict[str, Any]:
        sockets = await desk.sockets()
        return {one.stem.removeprefix("kernel-"): await _ask(one, question, about) for one in sockets}

    from kernel.model.errors import StoreError

    found = at_desk(context, ask_all)
    if not found:
        raise StoreError("no kernel is alive: start one by `mainspring run`")
    return found


async def _ask(socket: "Path", question: str, about: dict[str, Any]) -> Any:
    from kernel.cli.desk import ask_soon
    from kernel.model.errors import StoreError

    try:
        return await ask_soon(socket, "ask", {"question": question, "about": about})
    except TimeoutError as error:
        raise StoreError(str(error)) from None
    except OSError as error:
        raise StoreError(f"the kernel's socket {socket} cannot be reached: {error.strerror}") from None
