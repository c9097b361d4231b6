"""What all handlers share: the kernel, the templates, and what was told to whom."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from aiohttp import web

from kernel.events import KernelStopping, OperatorActed

from .extensions import Extensions
from .feed import Feed
from .heard import Ended
from .idempotency import Idempotency
from .identity import Identities, Who
from .ledger import Ledger
from .live import Live
from .recent import Recent
from .traffic import Traffic
from .wording import FILTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel import Kernel

    from .heard import Heard
    from .settings import Settings

FOLDER = Path(__file__).parent
_MOST_TELLINGS = 1_000
_WITHIN = re.compile(r"/(?![/\\])[!-\[\]-~]*")


class Site:
    def __init__(self, kernel: Kernel, settings: Settings) -> None:
        self.kernel = kernel
        self.settings = settings
        self.identities = Identities(settings, kernel.clock.elapsed)
        self.traffic = Traffic(kernel)
        self.live = Live(kernel)
        self.extensions = Extensions(kernel)
        self.feed = Feed(kernel)
        self.idempotency = Idempotency(kernel)
        self.is_stopping = False
        self.recent = Recent(kernel)
        self.ledger = Ledger(kernel)
        self._tellings: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters.update(FILTERS)

    async def start(self) -> None:
        await self.traffic.start()
        await self.live.start()
        self.extensions.start()
        await self.idempotency.start()

    async def stop(self) -> None:
        await self.extensions.stop()
        await self.idempotency.stop()
        await self.feed.stop()
        await self.live.stop()
        await self.ledger.stop()
        await self.traffic.stop()

    def hear(self, events: Sequence[Heard]) -> None:
        for event in events:
            if isinstance(event, Ended):
                self.traffic.take(event)
            elif isinstance(event, KernelStopping):
                self.is_stopping = True
        self.live.hear(events)
        self.extensions.hear(events)

    @property
    def now(self) -> float:
        return self.kernel.clock.now()

    def acted(self, request: web.Request, action: str, subject: str, text: str = "") -> None:
        """Tells as an event who did what; to be called once it is done. ``action``: as of control, "runs_cancel"."""
        who = request[WHO]
        self.kernel.publish(OperatorActed(self.now, who.name, request.remote or "", action, subject, text))

    def page(self, request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """The page made of ``template``. It gets besides: who, may_change, now, path, told, and the filters of wording.py."""
        who = request.get(WHO)
        told, tone = self._tellings.pop(request.query.get("told", ""), ("", ""))
        text = self._templates.get_template(template).render(
            **values,
            request=request,
            path=request.path,
            now=self.now,
            who=who,
            may_login=not self.identities.is_open,
            may_change=who is not None and may_change(who, self.settings),
            told=told,
            told_tone=tone,
            kernel_id=self.kernel.id,
            more_pages=self.extensions.links(),
        )
        return web.Response(text=text, content_type="text/html", status=status, headers={"Cache-Control": "no-store"})

    def redirect(self, to: str, told: str = "", tone: str = "good") -> web.Response:
        """After a change: the browser asks for ``to``, and is told there what was done. What is no address of the site is /.

        ``tone``: how it looks, "quiet" when nothing was done, "bad" when what was done went wrong.
        """
        to = within(to)
        if told:
            key = secrets.token_urlsafe(8)
            self._tellings[key] = told, tone
            if len(self._tellings) > _MOST_TELLINGS:
                self._tellings.popitem(last=False)
            to = f"{to}{'&' if '?' in to else '?'}told={key}"
        return web.Response(status=303, headers={"Location": to})


def within(address: str) -> str:
    """The address when it is one of this site, else ``/``: nobody is led elsewhere by a link to this one."""
    return address if _WITHIN.fullmatch(address) else "/"


def may_change(who: Who, settings: Settings) -> bool:
    return who.role == "operate" and not settings.read_only


SITE = web.AppKey("site", Site)
WHO = web.RequestKey("who", Who)
"""Under this key the request has who asks."""


def site_of(request: web.Request) -> Site:
    return request.app[SITE]
