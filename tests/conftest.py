"""Fixtures that more than one tier of tests needs."""

from __future__ import annotations

import signal

from tests.postgres_server import databases, fresh_database, postgres_server, postgres_url, shared_database

__all__ = ["databases", "fresh_database", "postgres_server", "postgres_url", "shared_database"]

# A shell that starts the tests in the background has Ctrl-C ignored, and so would all programs that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
