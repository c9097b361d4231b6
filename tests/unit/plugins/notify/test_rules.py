"""Which notice goes where."""

from __future__ import annotations

from plugins.notify.rules import Rule, channels_for

ERRORS = Rule(("ops",), "error")
FLEET = Rule(("office", "ops"), "warning", jobs=("fleet.*",))
REPORT = Rule(("office",), "info", kinds=("weekly_report", "maintenance_*"))
RULES = [ERRORS, FLEET, REPORT]


def test_a_rule_takes_its_severity_and_what_is_graver() -> None:
    assert [channels_for([ERRORS], severity, "a.b", "failed") for severity in ("info", "warning", "error")] == [
        [], [], ["ops"],
    ]  # fmt: skip


def test_every_rule_that_fits_counts_and_a_channel_gets_it_once() -> None:
    assert channels_for(RULES, "error", "fleet.sync", "failed") == ["ops", "office"]


def test_jobs_and_kinds_are_patterns() -> None:
    assert channels_for(RULES, "warning", "fleet.sync", "failed") == ["office", "ops"]
    assert channels_for(RULES, "warning", "other.sync", "failed") == []
    assert channels_for(RULES, "info", "x.y", "maintenance_reminder") == ["office"]
    assert channels_for(RULES, "info", "x.y", "report") == []


def test_what_is_of_no_job_fits_rules_that_name_none() -> None:
    assert channels_for(RULES, "error", "", "store_troubled") == ["ops"]
