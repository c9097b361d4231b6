"""What every request has to pass: Host, login, the same origin and a role for changes; and the headers of every answer."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from kernel import MainspringError

from .body import read_body
from .door import answer_of
from .identity import ANYONE, Who
from .problem import Problem, problem_of
from .settings import address_of
from .site import WHO, may_change, site_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Middleware

    from .route import Route
    from .settings import Settings
    from .site import Site

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)

COOKIE = "mainspring"
SEND_SECONDS = 30.0
"""So long a client may take to read an answer that is no stream."""
_LOCAL = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "Mainspring",  # aiohttp would tell its version and Python's
}


def cookie_name(settings: Settings) -> str:
    return f"__Host-{COOKIE}" if settings.https else COOKIE


class Guard:
    """Wraps each route's handler; made once for the site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._settings = site.settings
        self._hosts = {host.lower() for host in (*_LOCAL, *site.settings.hosts)}
        address = ipaddress.ip_address(address_of(site.settings.listen)[0])
        if not address.is_unspecified:
            self._hosts.add(f"[{address}]" if address.version == 6 else str(address))

    def wrap(self, route: Route) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            response = await self._answer(request, route)
            if route.seconds is not None:
                await _send(request, response)
            return response

        return guarded

    async def _answer(self, request: web.Request, route: Route) -> web.StreamResponse:
        try:
            self._admit(request, route)
            async with asyncio.timeout(route.seconds):
                if route.is_change:
                    await read_body(request)
                return await route.handler(request)
        except Problem as problem:
            return self._told(request, problem)
        except MainspringError as error:
            return self._told(request, problem_of(error))
        except TimeoutError:
            text = f"it took longer than {route.seconds or 0:g} s"
            return self._told(request, Problem(408 if route.is_change else 503, "Took too long", text))
        except web.HTTPException as error:
            return self._told(request, Problem(error.status, error.reason))
        except Exception:
            if request.transport is not None:  # else who asked is gone, in the midst of it
                log.exception("%s %s failed", request.method, request.path)
            return self._told(request, Problem(500, "It failed", "the kernel's log tells more"))

    def check(self, request: web.Request) -> None:
        """What any request has to fulfil, also one that no route is for."""
        if not request.raw_path.startswith("/") or not request.raw_path.isascii():
            raise Problem(400, "Bad request", "expected a path that begins with /, percent-encoded")
        if "%00" in request.raw_path:
            raise Problem(400, "Bad request", "%00 stands for nothing here; expected text without it")
        self._check_host(request)

    def _admit(self, request: web.Request, route: Route) -> None:
        who = self._who(request)
        if who is not None:
            request[WHO] = who
        self._check_origin(request, route)
        if route.is_open:
            return
        if who is None:
            raise Problem(
                401, "Log in first", "expected Authorization: Bearer TOKEN", headers={"WWW-Authenticate": "Bearer"}
            )
        if route.is_change and not may_change(who, self._settings):
            why = "the site is read-only" if self._settings.read_only else f"{who.name} may read only"
            raise Problem(403, "Not allowed", f"{why}; nothing was changed")

    def _check_host(self, request: web.Request) -> None:
        """Lest a name that somebody else owns, and points at this machine, makes their pages ours (DNS rebinding)."""
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1:
            raise Problem(400, "Bad request", "expected one Host header")
        host = hosts[0]
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if name.lower() not in self._hosts:
            raise Problem(
                421, "Unknown host", "this name is not among those it answers to; `hosts` in [plugins.web] may list it"
            )

    def _who(self, request: web.Request) -> Who | None:
        identities = self._site.identities
        if identities.is_open:
            return Who(ANYONE, "operate")
        token = _bearer(request)
        if token is not None:
            return identities.by_token(token, request.remote or "")[0]
        return identities.by_cookie(request.cookies.get(cookie_name(self._settings), ""), self._site.now)

    def _check_origin(self, request: web.Request, route: Route) -> None:
        """A change comes from a page of this site, or from a program: browsers let no other page send such a request.

        Other sites may lead to a page by a link, and fetch nothing for themselves.
        """
        site = request.headers.get("Sec-Fetch-Site")
        if not route.is_change:
            if site in {"cross-site", "same-site"} and request.headers.get("Sec-Fetch-Mode") != "navigate":
                raise Problem(403, "Another origin", "it was asked for by a page of another site")
            return
        origins = request.headers.getall("Origin", [])
        if site not in {None, "same-origin"} or any(origin.lower() not in self._own(request) for origin in origins):
            raise Problem(403, "Another origin", "it was asked for by a page of another site; nothing was changed")
        is_page = bool(origins) or site is not None
        is_program = _bearer(request) is not None or request.content_type == "application/json"
        if not is_page and not is_program:
            text = "expected an Origin header, Authorization: Bearer TOKEN, or Content-Type: application/json"
            raise Problem(403, "Another origin", f"{text}; nothing was changed")

    def _own(self, request: web.Request) -> set[str]:
        host = request.headers["Host"].lower()
        return {f"https://{host}"} if self._settings.https else {f"http://{host}", f"https://{host}"}

    def told_nowhere(self, request: web.Request, problem: Problem) -> web.StreamResponse:
        """For an address that is none: to a browser it is a page, with the way to the others for who is logged in."""
        who = None if "Authorization" in request.headers else self._who(request)
        if who is not None:
            request[WHO] = who
        return self._told(request, problem)

    def _told(self, request: web.Request, problem: Problem) -> web.StreamResponse:
        if request.path.startswith("/api/") or "text/html" not in request.headers.get("Accept", ""):
            return answer_of(problem)
        if problem.status == 401 and request.method == "GET":
            return self._site.redirect(f"/login?next={quote(request.path_qs, safe='')}")
        response = self._site.page(request, "problem.html", status=problem.status, problem=problem)
        response.headers.update(problem.headers)
        return response


def _bearer(request: web.Request) -> str | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


async def _send(request: web.Request, response: web.StreamResponse) -> None:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        pass  # who asked is gone


def shield(guard: Guard) -> Middleware:
    """Stands before all routes, and answers for addresses that have none."""

    @web.middleware
    async def shielded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            guard.check(request)
            return await handler(request)
        except Problem as problem:
            return answer_of(problem)
        except web.HTTPException as error:
            response = guard.told_nowhere(
                request, Problem(error.status, error.reason, f"{request.method} {request.path}"[:200])
            )
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response

    return shielded


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """As they are about to be sent: those of streams too."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    if site_of(request).settings.https:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
