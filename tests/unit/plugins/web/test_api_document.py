"""The API's description: it is sound, complete, and true of the routes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.unit.plugins.web.web_kit import running

if TYPE_CHECKING:
    from pathlib import Path

PROBES = {"/livez", "/readyz", "/metrics"}


async def test_the_description_is_valid_openapi(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        document = json.loads((await web.get("/api/v1/openapi.json")).text)
    assert document["openapi"].startswith("3.1")
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


async def test_every_route_is_described_and_nothing_else_is(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        document = json.loads((await web.get("/api/v1/openapi.json")).text)
        routes = {
            (route.method, re.sub(r":\[\^/\]\+", "", route.resource.canonical))
            for route in web.server.app.router.routes()
            if route.method != "HEAD"  # as GET, without the body
        }
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {one for one in routes if one[1].startswith("/api/") or one[1] in PROBES}


async def test_each_operation_says_who_may_ask_and_what_may_go_wrong(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        document = json.loads((await web.get("/api/v1/openapi.json")).text)
    assert set(document["components"]["securitySchemes"]) == {"bearer", "cookie"}
    names = []
    for path, item in document["paths"].items():
        for method, one in item.items():
            names.append(one["operationId"])
            answers = set(one["responses"])
            assert {"400", "422", "500"} <= answers, path
            assert ("401" in answers) == (one.get("security") != []), path
            assert ({"403", "413", "415"} <= answers) == (method != "get"), path
            assert ("404" in answers) >= ("{" in path), path
            assert any(status.startswith("2") for status in answers), path
    assert len(names) == len(set(names))
