"""Which plugin it is whose job nobody knows."""

from __future__ import annotations

import pytest

from plugins.web.unknown_job import Absent, absent_for

ABSENT = {"fleet": Absent("fleet", "off"), "mail": Absent("mail", "broken")}


@pytest.mark.parametrize(
    ("job", "plugin", "name"),
    [
        ("fleet.sync", None, "fleet"),
        ("fleet.sync.cars", "", "fleet"),
        ("sync", "mail", "mail"),
        ("fleet.sync", "mail", "mail"),
        ("fleet.sync", "web", "fleet"),
        ("other.sync", "web", None),
        ("", None, None),
    ],
)
def test_the_plugin_of_the_schedule_or_else_of_the_name(job: str, plugin: str | None, name: str | None) -> None:
    found = absent_for(job, plugin, ABSENT)

    assert (found and found.plugin) == name
