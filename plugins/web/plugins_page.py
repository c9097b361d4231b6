"""The plugins: which are on, which are broken and where; switching them on and off, and letting them out of quarantine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kernel import UnknownNameError

from .problem import Problem
from .route import Route
from .sentence import sentence
from .site import site_of
from .typed import texts_of

if TYPE_CHECKING:
    from aiohttp import web

SWITCH_SECONDS = 3.0
"""So long a page waits for a plugin to go off; its runs may take longer, and the switching goes on."""
WEB = "web"
_ORDER = ("broken", "quarantined", "enabled", "off")
Plugin = dict[str, Any]


async def show(request: web.Request) -> web.Response:
    site = site_of(request)
    plugins = await site.kernel.control.plugins()
    return site.page(
        request,
        "plugins.html",
        plugins=[
            one | {"said": sentence(one["reason"], site.now, as_begun=True)}
            for one in sorted(plugins, key=lambda one: (_rank(one), one["plugin"]))
        ],
        config=await site.kernel.control.config(),
        web=WEB,
    )


def _rank(plugin: Plugin) -> tuple[int, bool]:
    state = plugin["state"]
    return _ORDER.index(state) if state in _ORDER else 0, not plugin["faults"]


async def show_one(request: web.Request) -> web.Response:
    site = site_of(request)
    name = request.query.get("name", "")
    plugins = {one["plugin"]: one for one in await site.kernel.control.plugins()}
    if name not in plugins:
        raise UnknownNameError("plugin", name, plugins)
    here = f"/plugins/one?name={quote(name, safe='')}"
    plugin = plugins[name] | {"said": sentence(plugins[name]["reason"], site.now, as_begun=True)}
    return site.page(request, "plugin.html", plugin=plugin, here=here, web=WEB)


async def enable(request: web.Request) -> web.Response:
    site, name = site_of(request), await _named(request)
    try:
        async with asyncio.timeout(SWITCH_SECONDS):
            plugin = await site.kernel.control.plugins_enable(plugin=name)
    except TimeoutError:
        return site.redirect("/plugins", told=f"{name} is being switched on.")
    site.acted(request, "plugins_enable", name)
    if plugin.get("state") == "broken":
        return site.redirect(
            f"/plugins/one?name={quote(name, safe='')}", told=f"{name} is on in plugins.toml, and broken.", tone="bad"
        )
    return site.redirect("/plugins", told=f"{name} is on; it stands in plugins.toml.")


async def disable(request: web.Request) -> web.Response:
    site, name = site_of(request), await _named(request)
    if name == WEB:
        raise Problem(
            409,
            "Not from here",
            "web serves this page: switch it off by `mainspring plugins disable web`; nothing was changed",
        )
    try:
        async with asyncio.timeout(SWITCH_SECONDS):
            await site.kernel.control.plugins_disable(plugin=name)
    except TimeoutError:
        site.acted(request, "plugins_disable", name)
        return site.redirect("/plugins", told=f"{name} is being switched off: what it runs may end first.")
    site.acted(request, "plugins_disable", name)
    return site.redirect("/plugins", told=f"{name} is off; it stands in plugins.toml.")


async def release(request: web.Request) -> web.Response:
    site, name = site_of(request), await _named(request)
    await site.kernel.control.plugins_release(plugin=name)
    site.acted(request, "plugins_release", name)
    return site.redirect("/plugins", told=f"{name} is released: its hooks are called again.")


async def _named(request: web.Request) -> str:
    return (await texts_of(request)).get("plugin", "")


ROUTES = [
    Route("GET", "/plugins", show),
    Route("GET", "/plugins/one", show_one),
    Route("POST", "/plugins/enable", enable),
    Route("POST", "/plugins/disable", disable),
    Route("POST", "/plugins/release", release),
]
