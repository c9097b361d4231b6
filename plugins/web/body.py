"""The bodies of changes: read once, before the handler, so that what is wrong with one is told in one way."""

from __future__ import annotations

from aiohttp import web

from .problem import Problem

MOST_BODY = 1024 * 1024
MOST_FIELDS = 5_000


async def read_body(request: web.Request) -> None:
    """Handlers then have it at once, by ``post()``, ``json()``, ``text()`` or ``read()``. Problem for one that is no body."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "Wrong content", "Content-Encoding: expected a body that is not compressed")
    if request.content_type.startswith("multipart/"):
        raise Problem(415, "Wrong content", "expected a form as application/x-www-form-urlencoded, or JSON")
    if (request.charset or "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise Problem(415, "Wrong content", "charset: expected utf-8")
    body = await _bytes_of(request)
    if request.content_type == "application/x-www-form-urlencoded":
        if body.count(b"&") >= MOST_FIELDS:
            raise Problem(413, "Too large", f"expected a form of at most {MOST_FIELDS} fields")
        if b"%00" in body or b"\0" in body:
            raise Problem(400, "Bad request", "%00 stands for nothing here; expected text without it")
        try:
            await request.post()
        except ValueError:
            raise Problem(400, "Bad request", "expected a form in UTF-8") from None


async def _bytes_of(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.RequestPayloadError:
        raise Problem(400, "Bad request", "its body does not end as it says") from None
    except web.HTTPRequestEntityTooLarge:
        raise Problem(413, "Too large", f"expected a body of at most {MOST_BODY:,} bytes") from None
