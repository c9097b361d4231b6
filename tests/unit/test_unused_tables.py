"""A table of plugins.toml that no job uses is told of, with the name that may have been meant."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from kernel import Breaker, Kernel
from kernel.config import load_config, parse_config
from kernel.unused_tables import unused_tables
from tests.flow_kit import job_of

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.model.job import Job


async def send() -> None: ...


@pytest.fixture
def jobs() -> list[Job]:
    return [job_of(send, queue="mial", breaker=Breaker("api"))]


def notes(text: str, jobs: list[Job]) -> list[str]:
    return unused_tables(parse_config(text, "plugins.toml", {}), jobs)


def test_a_queue_that_no_job_has_is_told_with_the_nearest_one(jobs: list[Job]) -> None:
    found = notes("[queues.mail]\nconcurrency = 1\n[queues.mial]\nconcurrency = 1\n", jobs)

    said = "[queues.mail]: no job of an enabled plugin has this queue; runs may be enqueued into it by name."
    assert found == [f'{said} Did you mean "mial"?']


def test_a_breaker_with_a_name_near_to_that_of_a_job_is_told_and_others_may_be_of_calls_in_code(
    jobs: list[Job],
) -> None:
    text = "[breakers.apy]\nfailure_threshold = 1\n[breakers.api]\nfailure_threshold = 1\n"
    text += "[breakers.elsewhere]\nfailure_threshold = 1\n"

    assert notes(text, jobs) == [
        '[breakers.apy]: no job of an enabled plugin has this breaker as its policy. Did you mean "api"?'
    ]


def test_of_the_default_queue_nothing_is_told(jobs: list[Job]) -> None:
    assert notes("[queues.default]\nconcurrency = 1\n", jobs) == []


async def test_a_kernel_tells_of_it_when_it_starts_and_starts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = tmp_path / "plugins.toml"
    config.write_text('[kernel]\nstore = "memory://"\n[queues.mail]\nconcurrency = 1\n')
    with caplog.at_level(logging.INFO, "kernel"):
        async with Kernel(load_config(config)):
            pass

    assert f"{config}: [queues.mail]: no job of an enabled plugin has this queue" in caplog.text
