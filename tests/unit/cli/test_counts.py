"""One of a thing is not said as many of it."""

from __future__ import annotations

import io
from typing import Any

import pytest

from kernel.cli.job_words import policy_words
from kernel.cli.line_writer import LineWriter
from kernel.cli.run_record import record_fields
from kernel.decorators import job
from kernel.flow.page import _dropped_in_words
from kernel.model.announcement import describe_job
from kernel.model.breaker import Breaker
from kernel.model.cron_hints import hint_for_count
from kernel.model.job import Keep
from kernel.model.queue import Queue
from tests.flow_kit import job_of


def said_of(**policies: Any) -> dict[str, str]:
    @job(**policies)
    async def work() -> None: ...

    return policy_words(describe_job(job_of(work), Queue("default")))


@pytest.mark.parametrize(
    ("count", "failures", "successes"), [(1, "1 failure", "1 success"), (2, "2 failures", "2 successes")]
)
def test_the_thresholds_of_a_breaker(count: int, failures: str, successes: str) -> None:
    told = said_of(breaker=Breaker("partner", failure_threshold=count, success_threshold=count))["breaker"]

    assert (
        told
        == f"partner: opens at {failures} in a row, is tried again after 1 m, closes after {successes}; runs wait while open"
    )


def test_the_rate_and_the_keeping_of_a_job() -> None:
    one, many = said_of(rate_limit="1/1m", keep=Keep(count=1)), said_of(rate_limit="2/1m")

    assert (one["rate limit"], many["rate limit"]) == ("at most 1 begins in any 1 m", "at most 2 begin in any 1 m")
    assert one["kept"].endswith(", at most 1 run")
    assert many["kept"].endswith(", at most 10,000 runs")


def test_what_was_dropped_or_left_out() -> None:
    run = {
        "progress": None,
        "progress_text": None,
        "steps": [{"name": "a", "result": 1}],
        "log": [],
        "log_is_cut": False,
    }

    assert _dropped_in_words(1).startswith("1 line was dropped here, ")
    assert _dropped_in_words(2).startswith("2 lines were dropped here, ")
    assert record_fields(run | {"steps_left_out": 1})["steps"].startswith("(1 earlier step is left out)")


def test_the_fields_of_a_cron_expression() -> None:
    assert hint_for_count(1).startswith("it has 1 field, expected 5")


def test_lines_that_nobody_read() -> None:
    stream = io.StringIO()
    writer = LineWriter(stream)
    writer._dropped = 1
    writer.put(lambda: "a line")

    assert writer.close()
    assert "1 line was dropped, " in stream.getvalue()
