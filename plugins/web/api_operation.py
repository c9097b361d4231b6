"""One operation of the API: what it is asked and answers. Routes and OpenAPI are both made of this."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web

from kernel import ConfigError, MainspringError, PayloadError, RequestError, UnknownNameError

from .api_reading import read_body, read_query
from .json_text import as_json
from .problem import Problem, problem_of
from .route import Route
from .site import site_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from pydantic import BaseModel

    from .api_questions import Question
    from .site import Site

_LONGEST_NAME = 200
_NAMES = re.compile(r"\{(\w+)\}")
_NO_STORE = {"Cache-Control": "no-store"}


class Header(NamedTuple):
    """A header of the request that means something to the operation."""

    name: str
    about: str
    schema: dict[str, Any]


class Asked:
    """A request whose parameters and body are read and fit."""

    def __init__(self, request: web.Request, query: Any, body: Any) -> None:
        self.request = request
        self.query = query
        self.body = body

    @property
    def site(self) -> Site:
        return site_of(self.request)

    @property
    def control(self) -> Any:
        return self.site.kernel.control

    def name(self, kind: str) -> str:
        """The name in the path. One that nothing can bear is not looked for."""
        name = self.request.match_info[kind]
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise UnknownNameError(kind, name[:_LONGEST_NAME])
        return name

    def acted(self, action: str, subject: str, text: str = "") -> None:
        self.site.acted(self.request, action, subject, text)


class Operation(NamedTuple):
    """``act`` answers with a JSON value, or with a whole response. ``answer`` None: nothing is said, with status 204.

    ``also``: other statuses with the same answer. ``problems``: those beside what any request may meet. ``refused``: the
    status of a RequestError; 422 says that the question is wrong, 409 that it does not fit how things stand.
    """

    method: str
    path: str
    name: str
    summary: str
    tag: str
    act: Callable[[Asked], Awaitable[Any]]
    answer: type[BaseModel] | None
    status: int = 200
    also: tuple[int, ...] = ()
    query: type[Question] | None = None
    body: type[Question] | None = None
    needs_body: bool = False
    headers: tuple[Header, ...] = ()
    problems: tuple[int, ...] = ()
    refused: int = 422
    media: str = "application/json"
    is_open: bool = False
    seconds: float | None = 30.0

    @property
    def names(self) -> list[str]:
        """Of the path's variable parts."""
        return _NAMES.findall(self.path)

    def route(self) -> Route:
        async def serve(request: web.Request) -> web.StreamResponse:
            query = read_query(request.query, self.query)
            body = await read_body(request, self.body, is_needed=self.needs_body)
            try:
                answer = await self.act(Asked(request, query, body))
            except MainspringError as error:
                raise self._problem_of(error) from None
            return answer if isinstance(answer, web.StreamResponse) else told(answer, self.status)

        # A name may have any character but the slash, which comes as %2F.
        path = _NAMES.sub(r"{\1:[^/]+}", self.path)
        return Route(self.method, path, serve, self.is_open, self.seconds)

    def _problem_of(self, error: MainspringError) -> Problem:
        match error:
            case PayloadError():
                return _wrong(f"body.payload{error.path}", f"{error.found}; expected {error.expected}", str(error))
            case UnknownNameError():
                at = self._field_of(error.kind)
                return problem_of(error) if at is None else _wrong(at, str(error))
            case RequestError() if self.refused == 422:
                return Problem(422, "Wrong request", str(error))
            case ConfigError():
                errors = [{"at": "", "text": one} for one in error.problems]
                return Problem(422, "Wrong configuration", str(error), errors=errors if len(errors) > 1 else [])
            case _:
                return problem_of(error)

    def _field_of(self, kind: str) -> str | None:
        """The field that named what is not there; None when the path did."""
        if kind in self.names:
            return None
        for place, model in (("body", self.body), ("query", self.query)):
            if model is not None and kind in model.model_fields:
                return f"{place}.{kind}"
        return None


def told(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    if value is None and status == 204:
        return web.Response(status=204, headers=_NO_STORE)
    return web.Response(
        text=as_json(value), status=status, content_type="application/json", headers=_NO_STORE | (headers or {})
    )


def found(rows: Iterable[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The row of this name; UnknownNameError when there is none."""
    known = {str(row[kind]): row for row in rows}
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return known[name]


def _wrong(at: str, text: str, detail: str = "") -> Problem:
    return Problem(422, "Wrong request", detail or f"{at}: {text}", errors=[{"at": at, "text": text}])
