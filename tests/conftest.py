"""Fixtures that more than one tier of tests needs."""

from __future__ import annotations

from tests.postgres_server import databases, fresh_database, postgres_server, postgres_url, shared_database

__all__ = ["databases", "fresh_database", "postgres_server", "postgres_url", "shared_database"]
