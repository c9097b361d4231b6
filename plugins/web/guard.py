"""What every request has to pass: Host, login, the same origin and a role for changes; and the headers of every answer."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from aiohttp import web

from kernel import MainspringError

from .identity import ANYONE, Who
from .problem import Problem, problem_of
from .site import WHO, may_change, site_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .route import Route
    from .settings import Settings
    from .site import Site

log = logging.getLogger(__name__)

COOKIE = "mainspring"
_LOCAL = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = {
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
}


def cookie_name(settings: Settings) -> str:
    return f"__Host-{COOKIE}" if settings.https else COOKIE


class Guard:
    """Wraps each route's handler; made once for the site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._settings = site.settings
        self._hosts = {host.lower() for host in (*_LOCAL, *site.settings.hosts)}
        host = site.settings.listen.rpartition(":")[0]
        if host not in {"0.0.0.0", "[::]"}:  # noqa: S104 - these are no names to ask for
            self._hosts.add(host.lower())

    def wrap(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                self._admit(request, route)
                async with asyncio.timeout(route.seconds):
                    return await route.handler(request)
            except Problem as problem:
                return self._told(request, problem)
            except MainspringError as error:
                return self._told(request, problem_of(error))
            except TimeoutError:
                text = f"it took longer than {route.seconds:g} s"
                return self._told(request, Problem(408 if route.is_change else 503, "Took too long", text))
            except web.HTTPException as error:
                return self._told(request, Problem(error.status, error.reason))
            except Exception:
                log.exception("%s %s failed", request.method, request.path)
                return self._told(request, Problem(500, "It failed", "the kernel's log tells more"))

        return guarded

    def _admit(self, request: web.Request, route: Route) -> None:
        self._check_host(request)
        who = self._who(request)
        request[WHO] = who
        if route.is_change:
            self._check_origin(request)
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
        host = request.headers.get("Host", "")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if name.lower() not in self._hosts:
            raise Problem(
                421, "Unknown host", "this name is not among those it answers to; `hosts` in [plugins.web] may list it"
            )

    def _who(self, request: web.Request) -> Who | None:
        identities = self._site.identities
        if identities.is_open:
            return Who(ANYONE, "operate")
        given = request.headers.get("Authorization")
        if given is not None:
            kind, _, token = given.partition(" ")
            return identities.by_token(token.strip())[0] if kind.lower() == "bearer" else None
        return identities.by_cookie(request.cookies.get(cookie_name(self._settings), ""), self._site.now)

    def _check_origin(self, request: web.Request) -> None:
        """A change comes from a page of this site, or from a program: browsers let no other page send such a request."""
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
        if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("Host", "").lower():
            raise Problem(403, "Another origin", "it was asked for by a page of another site; nothing was changed")
        if site is not None and site != "same-origin":
            raise Problem(403, "Another origin", "it was asked for by a page of another site; nothing was changed")
        is_page = origin is not None or site is not None
        is_program = "Authorization" in request.headers or request.content_type == "application/json"
        if not is_page and not is_program:
            text = "expected an Origin header, Authorization: Bearer TOKEN, or Content-Type: application/json"
            raise Problem(403, "Another origin", f"{text}; nothing was changed")

    def _told(self, request: web.Request, problem: Problem) -> web.StreamResponse:
        if request.path.startswith("/api/") or "text/html" not in request.headers.get("Accept", ""):
            return web.json_response(
                problem.as_json(),
                status=problem.status,
                headers=problem.headers,
                content_type="application/problem+json",
            )
        if problem.status == 401 and request.method == "GET":
            return self._site.redirect(f"/login?next={quote(request.path_qs, safe='')}")
        response = self._site.page(request, "problem.html", status=problem.status, problem=problem)
        response.headers.update(problem.headers)
        return response


@web.middleware
async def shield(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What no route has, and the headers of every answer that has none yet (a stream has sent its own)."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        problem = Problem(error.status, error.reason, f"{request.method} {request.path}"[:200])
        response = web.json_response(problem.as_json(), status=error.status, content_type="application/problem+json")
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
    return response


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """As they are about to be sent: those of streams too."""
    response.headers.update(_HEADERS)
    response.headers.pop("Server", None)
    if site_of(request).settings.https:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
