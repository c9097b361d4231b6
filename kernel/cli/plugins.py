"""``mainspring plugins``: which there are and how they are, and switching them on and off in plugins.toml."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kernel.cli.command import AsJson, at_desk, example, group
from kernel.cli.output import Column, moment, print_fields, print_json, print_table, say, tell

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.cli.desk import Desk

Name = Annotated[str, typer.Argument(metavar="NAME", help="The plugin's name.")]

_TAKEN_UP_SECONDS = 5.0

_COLUMNS = [
    Column("PLUGIN"), Column("STATE"), Column("JOBS", is_number=True), Column("SCHEDULES", is_number=True),
    Column("FROM", is_whole=False), Column("REASON", is_whole=False),
]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    plugins = group(app, "plugins", "Lists plugins, switches them on and off, and starts new ones.")
    plugins.command("list", epilog=example("plugins list", "plugins list --json"))(list_plugins)
    plugins.command("show", epilog=example("plugins show fleet"))(show)
    plugins.command("release", epilog=example("plugins release billing"))(release)
    plugins.command("enable", epilog=example("plugins enable fleet"))(enable)
    plugins.command("disable", epilog=example("plugins disable fleet"))(disable)
    plugins.command("new", epilog=example("plugins new greeter"))(new)


def list_plugins(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Lists the plugins with their state, and why it is so."""
    found = at_desk(context, lambda desk: desk.plugins())
    if as_json:
        print_json(found)
    else:
        print_table(_COLUMNS, [_row(plugin) for plugin in found], empty="no plugins are found")


def _row(plugin: dict[str, Any]) -> list[Any]:
    place = f" ({plugin['place']})" if plugin["place"] else ""
    return [
        plugin["plugin"], plugin["state"], len(plugin["jobs"]), len(plugin["schedules"]), plugin["source"],
        plugin["reason"] + place if plugin["reason"] else plugin["note"],
    ]  # fmt: skip


def show(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Shows one plugin: its state, and the faults of its hooks.

    Those of the last ten minutes, each with its place.
    """
    from kernel.model.errors import UnknownNameError

    found = {one["plugin"]: one for one in at_desk(context, lambda desk: desk.plugins())}
    if name not in found:
        raise UnknownNameError("plugin", name, found)
    plugin = found[name]
    if as_json:
        print_json(plugin)
        return
    # A kernel of an older version tells no faults.
    faults = [_fault(one) for one in plugin.get("faults", [])]
    fields = {
        "plugin": plugin["plugin"], "state": plugin["state"], "about": plugin["about"], "version": plugin["version"],
        "from": plugin["source"], "reason": plugin["reason"], "place": plugin["place"], "note": plugin["note"],
        "requires": ", ".join(plugin["requires"]), "jobs": "\n".join(plugin["jobs"]),
        "schedules": "\n".join(plugin["schedules"]), "faults": "\n".join(faults),
    }  # fmt: skip
    print_fields({key: text for key, text in fields.items() if text})


def _fault(fault: dict[str, Any]) -> str:
    place = f" ({fault['place']})" if fault["place"] else ""
    return f"{moment(fault['at'])}  {fault['reason']}{place}"


def release(context: typer.Context, name: Name) -> None:
    """Lets a plugin out of quarantine before its time is over.

    Its hooks are called again, in each running kernel of this machine.
    """
    at_desk(context, lambda desk: desk.release_plugin(name))
    say(f"{name} is released: its hooks are called again")


def enable(context: typer.Context, name: Name) -> None:
    """Switches a plugin on in plugins.toml, keeping its comments. A running kernel takes it up within a second."""
    _switch(context, name, enabled=True)


def disable(context: typer.Context, name: Name) -> None:
    """Switches a plugin off in plugins.toml, keeping its comments. A running kernel drains its attempts first."""
    _switch(context, name, enabled=False)


def _switch(context: typer.Context, name: str, *, enabled: bool) -> None:
    from kernel.config import load_config
    from kernel.config_edit import set_enabled
    from kernel.model.errors import RequestError, UnknownNameError
    from kernel.plugin_finder import find_plugins

    path: Path = context.obj
    config = load_config(path)
    finding = find_plugins(config.kernel.plugin_dirs)
    for refused in finding.refused:
        if refused.name == name and enabled:
            raise RequestError(f"plugin {name} cannot be used: {refused.reason}")
    if name not in finding.plugins and (enabled or name not in config.plugins):
        raise UnknownNameError("plugin", name, finding.plugins)
    word = "on" if enabled else "off"
    if set_enabled(path, name, enabled=enabled):
        say(f"{name} is {word} in {path}")
        if enabled and (state := _in_kernel(context, name)) is not None:
            if state["state"] == "broken":
                place = f" ({state['place']})" if state["place"] else ""
                tell(f"plugin {name} is broken: {state['reason']}{place}")
                raise typer.Exit(1)
            tell("the running kernel has taken it up")
            return
        tell("a running kernel acts on it within a second; `mainspring plugins list` shows what became of it")
    else:
        say(f"{name} was {word} already in {path}")


def _in_kernel(context: typer.Context, name: str) -> dict[str, Any] | None:
    """The plugin as a running kernel has it once it is not off there; None without one, or when it cannot be asked."""
    from kernel.model.errors import MainspringError

    try:
        return at_desk(context, lambda desk: _taken_up(desk, name))
    except MainspringError:
        return None


async def _taken_up(desk: "Desk", name: str) -> dict[str, Any] | None:
    """The same; None when it takes long too."""
    import asyncio
    import contextlib

    sockets = await desk.sockets()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_TAKEN_UP_SECONDS):
            while sockets:
                found = next((one for one in await desk.plugins() if one["plugin"] == name), None)
                if found is not None and found["state"] != "off":
                    return found
                await asyncio.sleep(0.1)
    return None


def new(context: typer.Context, name: Name) -> None:
    """Makes a new plugin package, with a test beside it.

    It goes into the first folder of kernel.plugin_dirs, and nothing is overwritten.
    """
    from kernel.cli.new_plugin import check_new_name, write_plugin
    from kernel.config import check_plugin_name, load_config
    from kernel.model.errors import RequestError
    from kernel.plugin_finder import find_plugins

    config = load_config(context.obj)
    check_plugin_name(name)
    check_new_name(name)
    if not config.kernel.plugin_dirs:
        raise RequestError("kernel.plugin_dirs names no folder in which a plugin could be made")
    same = [
        one
        for one in find_plugins(config.kernel.plugin_dirs).plugins.values()
        if one.name.casefold() == name.casefold()
    ]
    if same:
        raise RequestError(f"there is a plugin {same[0].name} already: {same[0].source}; choose another name")
    for path in write_plugin(config.kernel.plugin_dirs[0], name):
        say(str(path))
    tell(f"next: `mainspring plugins enable {name}`, then `mainspring run`")
