"""In with a token, and out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .guard import cookie_name
from .identity import SESSION_SECONDS
from .problem import Problem
from .route import Route
from .site import site_of, within

if TYPE_CHECKING:
    from aiohttp import web


async def ask(request: web.Request) -> web.Response:
    site = site_of(request)
    if site.identities.is_open:
        return site.redirect("/")
    return site.page(request, "login.html", next=within(request.query.get("next", "")), problem="")


async def enter(request: web.Request) -> web.Response:
    site = site_of(request)
    form = await request.post()
    token, to = form.get("token", ""), form.get("next", "")
    try:
        _, key = site.identities.by_token(token.strip() if isinstance(token, str) else "", request.remote or "")
    except Problem as problem:
        response = site.page(request, "login.html", status=problem.status, next=within(str(to)), problem=problem.text)
        response.headers.update(problem.headers)
        return response
    response = site.redirect(str(to))
    response.set_cookie(
        cookie_name(site.settings),
        site.identities.cookie_for(key, site.now),
        max_age=int(SESSION_SECONDS),
        path="/",
        httponly=True,
        samesite="Strict",
        secure=site.settings.https,
    )
    return response


async def leave(request: web.Request) -> web.Response:
    site = site_of(request)
    response = site.redirect("/login")
    response.del_cookie(cookie_name(site.settings), path="/", secure=site.settings.https, samesite="Strict")
    return response


ROUTES = [
    Route("GET", "/login", ask, is_open=True),
    Route("POST", "/login", enter, is_open=True),
    Route("POST", "/logout", leave, is_open=True),
]
