"""Fixtures that more than one tier of tests needs, and what all processes of a run of the tests must have alike."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.postgres_server import databases, fresh_database, postgres_server, postgres_url, shared_database

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["databases", "fresh_database", "postgres_server", "postgres_url", "shared_database"]

# A shell that starts the tests in the background has Ctrl-C ignored, and so would all programs that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was logged may hold half a character, which cannot be sent from a process of the tests to the first one."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report
