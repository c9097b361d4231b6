"""Every address with values that nobody would write: a page or a clear refusal, never an error of the server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from kernel.testing import until
from plugins.web.routes import ROUTES
from tests.unit.plugins.web.web_kit import running

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [
    "name", "state", "job", "queue", "schedule", "tag", "since", "until", "error", "text", "limit", "before", "after", "cursor",
    "told", "page", "sort", "order", "week", "day", "at", "run", "id", "next", "from", "to", "kernel", "view", "hours", "status",
]  # fmt: skip
VALUES = [
    "", "0", "-1", "1e999", "nan", "NaN", "inf", "-inf", "9" * 30, "9" * 400, "-" + "9" * 30, "1e308", "253402300800",
    "-62135596801", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999+14:00", "0000-00-00", "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:00+99:99", "2026-W99", "true", "null", "[]", "{}", "[[[[", "a,b,,c", ",", "failed,nonsense", "%",
    "%zz", "%ff", "%ED%A0%80", "%00", "%0d%0a", "%F4%90%80%80", "\u202eevil", "\N{SNOWMAN}", "\U0001f600",
    "';drop table runs;--", "' OR '1'='1", '" OR 1=1 --', "1; select 1", "a" * 4_000, "<script>alert(1)</script>",
    "javascript:alert(1)", "{{7*7}}", "${7*7}", "../../etc/passwd", "۱۲۳", "²", "1_000", " 1 ", "0x10", "*", "?", "_", "\\",
    "|", "+", "(", "[", "^", "$", ".*", "(a+)+$",
]  # fmt: skip


def written(value: str) -> str:
    """Percent-encoded, unless it is percent-encoded already, rightly or wrongly."""
    return value if value.startswith("%") else quote(value, safe="")


PATHS = sorted({route.path for route in ROUTES if route.method == "GET" and route.seconds is not None})


def filled(path: str, value: str) -> str:
    return re.sub(r"\{[^}]*\}", lambda _: value, path)


@pytest.mark.parametrize("path", PATHS)
async def test_no_value_makes_an_error_of_the_server(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as web:
        runs = [await web.kernel.enqueue(f"demo.{job}") for job in ("ok", "fails", "slow")]
        await web.kernel.wait(runs[1].id, "10s")
        await until(lambda: web.site is not None)
        targets = [filled(path, runs[0].id)]
        targets += [f"{filled(path, 'x')}?{'&'.join(f'{name}={written(value)}' for name in NAMES)}" for value in VALUES]
        targets += [
            f"{filled(path, runs[0].id)}?{name}={written(value)}" for name in NAMES[:14] for value in VALUES[1:12]
        ]
        targets += [filled(path, written(value)) for value in VALUES if "{" in path and value]
        targets += [
            f"{filled(path, 'x')}?{query}"
            for query in ("state[]=failed", "limit=1&limit=2", "=", "&&&", "?" * 50, "a=b" * 900)
        ]
        found = [(target, await web.get(target)) for target in targets]

    assert [(target[:200], reply.status) for target, reply in found if reply.status >= 500] == []
    # Of a run that failed its own traceback is shown.
    assert not any("Traceback" in reply.text for _, reply in found if reply.status >= 400)
    pages = [reply for _, reply in found if reply.headers.get("Content-Type", "").startswith("text/html")]
    assert not any("alert(1)</script>" in reply.text for reply in pages)
    assert "Traceback" not in caplog.text
    assert len(found) > 200
