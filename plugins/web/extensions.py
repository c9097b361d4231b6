"""Pages, cards and addresses that other plugins add to the site, by their hook ``register_routes``."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web
from markupsafe import Markup, escape

from kernel.events import ConfigReloaded, KernelStarted, PluginBroken, PluginDisabled, PluginEnabled, PluginFaulted

from .border import Border, Fault, NoAnswerError
from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernel import Kernel

    from .heard import Heard

CARD_SECONDS = 5.0
PAGE_SECONDS = 20.0
ASK_SECONDS = 5.0
MOST = 20
"""Pages, cards, and routes of one plugin, of each kind."""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_LONGEST = 1_000_000
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_PATH = re.compile(r"/?([A-Za-z0-9._~-]{1,100}/){0,9}[A-Za-z0-9._~-]{1,100}")
_CHANGES = (KernelStarted, ConfigReloaded, PluginEnabled, PluginDisabled, PluginBroken)


class Card(NamedTuple):
    """What stands in a plugin's box on the Now page; with a ``problem`` there is no ``body``."""

    plugin: str
    title: str
    body: Markup
    problem: str = ""


class Extension:
    """What a plugin's ``register_routes(app)`` gets. A mistake raises ValueError with what was expected."""

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self._is_over = False
        self.pages: dict[str, tuple[str, Border]] = {}
        self.cards: dict[str, Border] = {}
        self.routes: dict[tuple[str, str], Border] = {}

    def add_page(self, name: str, title: str, show: Callable[[dict[str, str]], Any]) -> None:
        """A page at ``/x/PLUGIN/name``, with ``title`` in the navigation.

        ``show(query)`` gives markupsafe.Markup for HTML, or a text, which is escaped; ``def`` (in a thread) or ``async def``.
        """
        what = f"add_page({name!r})"
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise ValueError(f"{what}: name: expected a-z, 0-9 and -, as 'month', at most 60")
        self._check(what, self.pages, name, show)
        self.pages[name] = _title(what, title), Border(self._plugin, f"page {name}", show)

    def add_card(self, title: str, show: Callable[[], Any]) -> None:
        """A box on the Now page. ``show()`` gives what ``add_page``'s gives; it is asked again whenever something changes."""
        what = f"add_card({title!r})"
        self._check(what, self.cards, _title(what, title), show)
        self.cards[title] = Border(self._plugin, f"card {title}", show)

    def add_route(self, method: str, path: str, handler: Callable[[web.Request], Any]) -> None:
        """An address ``/x/PLUGIN/path``, guarded as all are. The handler gives a ``web.Response``, or JSON."""
        what = f"add_route({method!r}, {path!r})"
        if method not in METHODS:
            raise ValueError(f"{what}: method: expected one of {', '.join(METHODS)}")
        if not isinstance(path, str) or _PATH.fullmatch(path) is None or ".." in path.split("/"):
            raise ValueError(f"{what}: path: expected names with / between them, as 'export/csv'")
        path = path.removeprefix("/")
        if method == "GET" and path in self.pages:
            raise ValueError(f"{what}: it is the address of a page; expected another one")
        self._check(what, self.routes, (method, path), handler)
        self.routes[method, path] = Border(self._plugin, f"{method} {path}", handler)

    def close(self) -> None:
        """Nothing can be added any more: the hook has returned, or had its time."""
        self._is_over = True

    def _check(self, what: str, known: dict[Any, Any], key: Any, function: Any) -> None:
        if self._is_over:
            raise ValueError(f"{what}: it came too late; expected it within register_routes")
        if not callable(function):
            raise ValueError(f"{what}: {type(function).__name__}: expected a function")  # noqa: TRY004 - as for all mistakes
        if key in known:
            raise ValueError(f"{what}: there is one already; expected another name")
        if len(known) == MOST:
            raise ValueError(f"{what}: one too many; expected at most {MOST} of a plugin")


def _title(what: str, title: object) -> str:
    if not isinstance(title, str) or not 0 < len(title) <= 60 or not title.isprintable():
        raise ValueError(f"{what}: title: expected 1 to 60 characters that can be shown")
    return title


class Extensions:
    """Those of all plugins, asked for anew when plugins come and go."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._of: dict[str, Extension] = {}
        self._is_stale = True
        self._asking: asyncio.Task[None] | None = None
        self._faulty: set[tuple[str, str]] = set()

    def start(self) -> None:
        self._ask_soon()

    async def stop(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def hear(self, events: Sequence[Heard]) -> None:
        if any(isinstance(event, _CHANGES) for event in events):
            self._ask_soon()

    def links(self) -> list[tuple[str, str]]:
        """Address and title of each page, for the navigation."""
        return [
            (f"/x/{plugin}/{name}", title)
            for plugin, extension in self._of.items()
            for name, (title, _) in extension.pages.items()
        ]

    async def cards(self) -> list[Card]:
        """All cards, asked at once; one that fails or does not answer is a card that says so."""
        found = [
            (plugin, title, border)
            for plugin, extension in self._of.items()
            for title, border in extension.cards.items()
        ]
        return list(await asyncio.gather(*(self._card(*one) for one in found)))

    async def _card(self, plugin: str, title: str, border: Border) -> Card:
        try:
            body = _markup_of(border, await border.shared(CARD_SECONDS))
        except NoAnswerError as error:
            self._tell(border, error)
            return Card(plugin, title, Markup(), f"{plugin} did not answer.")
        except Fault as error:
            self._tell(border, error)
            return Card(plugin, title, Markup(), f"{plugin} failed: {self._scrubbed(error)}")
        self._faulty.discard((plugin, border.what))
        return Card(plugin, title, body)

    async def serve(self, request: web.Request, page: Callable[[str, Markup], web.Response]) -> web.StreamResponse:
        """The page or the address of a plugin that was asked for; ``page`` puts title and body of one into the site's."""
        plugin, path = request.match_info["plugin"], request.match_info["tail"]
        extension = self._of.get(plugin)
        method = "GET" if request.method == "HEAD" else request.method
        if extension is None:
            raise Problem(404, "Not found", "no plugin that is on has this address")
        try:
            if method == "GET" and path in extension.pages:
                title, border = extension.pages[path]
                body = _markup_of(border, await border.call(PAGE_SECONDS, dict(request.query)))
                response: web.StreamResponse = page(title, body)
            elif (method, path) in extension.routes:
                border = extension.routes[method, path]
                response = _response_of(border, await border.call(PAGE_SECONDS, request))
            else:
                raise self._missing(extension, path)
        except NoAnswerError as error:
            self._tell(border, error)
            raise Problem(503, "It did not answer", f"Plugin {plugin} did not answer.") from None
        except Fault as error:
            self._tell(border, error)
            text = f"Plugin {plugin}, {border.what}: {self._scrubbed(error)}"
            raise Problem(500, "The plugin failed", text) from None
        self._faulty.discard((plugin, border.what))
        return response

    def _missing(self, extension: Extension, path: str) -> Problem:
        methods = {method for method, known in extension.routes if known == path}
        if path in extension.pages:
            methods.add("GET")
        if not methods:
            return Problem(404, "Not found")
        return Problem(405, "Method Not Allowed", headers={"Allow": ", ".join(sorted(methods))})

    def _ask_soon(self) -> None:
        self._is_stale = True
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="mainspring:web:extensions")

    async def _ask(self) -> None:
        while self._is_stale:
            self._is_stale = False
            made: dict[str, Extension] = {}

            def each(plugin: str, made: dict[str, Extension] = made) -> dict[str, Any]:
                made[plugin] = Extension(plugin)
                return {"app": made[plugin]}

            answers = await self._kernel.ask("register_routes", within=ASK_SECONDS, each=each)
            for extension in made.values():
                extension.close()
            for answer in answers:
                if answer.error is not None:
                    self._publish(answer.plugin, "register_routes", answer.error.reason, answer.error.place)
            self._of = made
            self._faulty = {one for one in self._faulty if one[0] in made}

    def _tell(self, border: Border, fault: Fault) -> None:
        """Once, until it works again: a page that is open asks every second."""
        key = border.plugin, border.what
        if key not in self._faulty:
            self._faulty.add(key)
            self._publish(border.plugin, f"register_routes: {border.what}", self._scrubbed(fault), fault.place)

    def _publish(self, plugin: str, hook: str, reason: str, place: str) -> None:
        self._kernel.publish(PluginFaulted(self._kernel.clock.now(), plugin, hook, reason, place))

    def _scrubbed(self, fault: Fault) -> str:
        return self._kernel.config.source.scrub(str(fault))


def _markup_of(border: Border, value: object) -> Markup:
    if not isinstance(value, str):
        raise border.fault(f"it gave {type(value).__name__}; expected markupsafe.Markup, or a text")
    if len(value) > _LONGEST:
        raise border.fault(f"it gave {len(value):,} characters; expected at most {_LONGEST:,}")
    # What cannot be sent as UTF-8 (half of a pair of code points) is shown as a question mark.
    text = value.encode("utf-8", "replace").decode()
    return Markup(text) if isinstance(value, Markup) else Markup('<p class="text">{}</p>').format(escape(text))  # noqa: S704 - the plugin says that it is HTML


def _response_of(border: Border, value: object) -> web.StreamResponse:
    if isinstance(value, web.StreamResponse):
        return value
    try:
        return web.json_response(value)
    except (TypeError, ValueError, RecursionError):
        raise border.fault(f"it gave {type(value).__name__}; expected a web.Response, or JSON") from None
