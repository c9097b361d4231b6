"""Errors as people and programs get them: a status, a title and a text; never a traceback."""

from __future__ import annotations

from typing import Any, NamedTuple

from kernel import (
    ConfigError,
    MainspringError,
    PayloadError,
    RequestError,
    StoreError,
    StoreFullError,
    UnknownNameError,
)


class Problem(Exception):  # noqa: N818 - problem details (RFC 9457), as they are called
    """What was wrong with a request. ``errors``: of several mistakes each with its place, as {"at", "text"}."""

    def __init__(
        self,
        status: int,
        title: str,
        text: str = "",
        *,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status, self.title, self.text = status, title, text
        self.errors = errors or []
        self.headers = headers or {}
        super().__init__(text or title)

    def as_json(self) -> dict[str, Any]:
        """Problem details for HTTP APIs, RFC 9457; ``about:blank`` as type, so that the title tells the kind."""
        found: dict[str, Any] = {"type": "about:blank", "title": self.title, "status": self.status}
        if self.text:
            found["detail"] = self.text
        if self.errors:
            found["errors"] = self.errors
        return found


class _Kind(NamedTuple):
    family: type[MainspringError]
    status: int
    title: str


_KINDS = [
    _Kind(UnknownNameError, 404, "Not found"),
    _Kind(PayloadError, 422, "Payload does not fit"),
    _Kind(RequestError, 409, "Cannot be done"),
    _Kind(StoreFullError, 503, "No room"),
    _Kind(StoreError, 503, "The store did not do it"),
    _Kind(ConfigError, 422, "Wrong configuration"),
]


def problem_of(error: MainspringError) -> Problem:
    for kind in _KINDS:
        if isinstance(error, kind.family):
            headers = {"Retry-After": "5"} if kind.status == 503 else None
            return Problem(kind.status, kind.title, str(error), headers=headers)
    return Problem(400, "Wrong request", str(error))
