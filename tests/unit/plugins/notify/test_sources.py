"""What each event means to people."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

import pytest

from kernel import events
from kernel.model.events import fields_of
from plugins.notify.sources import Happened, Heard, Over, meaning

if TYPE_CHECKING:
    from kernel.model.events import Event

FIELDS = {
    "text": "a text", "context": {}, "log": (), "problems": ("a problem",), "changes": (), "verdict": "late", "level": "error",
}  # fmt: skip
NUMBERS = {"at", "seconds", "attempt", "failures", "until", "count", "losses", "since", "pid"}


def event_of(kind: type[Event], **changed: Any) -> Event:
    values = {name: FIELDS.get(name, 2 if name in NUMBERS else f"a {name}") for name in fields_of(kind)}
    return kind(**values | changed)


def told(kind: type[Event], **changed: Any) -> list[tuple[str, str]]:
    """``key`` and severity of what happened, ``key`` and "over" of what is over."""
    found = meaning(event_of(kind, **changed))
    return [(one.key, "over" if isinstance(one, Over) else one.notice.severity) for one in found]


@pytest.mark.parametrize("kind", typing.get_args(Heard), ids=lambda kind: kind.__name__)
def test_every_event_that_is_listened_to_means_something(kind: type[Event]) -> None:
    assert meaning(event_of(kind)) or kind is events.KernelStarted


@pytest.mark.parametrize("kind", [one for one in typing.get_args(Heard) if one is not events.KernelStarted])
def test_what_happens_says_in_a_line_what_it_is(kind: type[Event]) -> None:
    for found in meaning(event_of(kind)):
        if isinstance(found, Happened):
            assert found.notice.text.strip()
            assert found.notice.kind


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (events.StoreTroubled, events.StoreRecovered), (events.ConfigRejected, events.ConfigReloaded),
        (events.PluginBroken, events.PluginEnabled), (events.PluginQuarantined, events.PluginReleased),
        (events.BreakerOpened, events.BreakerClosed),
    ],
)  # fmt: skip
def test_what_lasts_has_an_event_that_ends_it(begins: type[Event], ends: type[Event]) -> None:
    [(key, _)] = told(begins)

    assert (key, "over") in told(ends)


def test_an_error_that_a_job_tells_is_a_failure_of_it_unless_it_names_the_incident() -> None:
    plain = {"job": "fleet.sync"}

    assert told(events.Notified, **plain) == [("fleet.sync failed", "error")]
    assert told(events.Notified, **plain, context={"kind": "billing"}) == [("fleet.sync billing", "error")]
    assert told(events.Notified, **plain, context={"incident": "partner"}) == [("partner", "error")]


def test_an_info_that_names_an_incident_ends_it_and_is_told_when_it_is_of_a_kind() -> None:
    info = {"job": "fleet.sync", "level": "info"}

    assert told(events.Notified, **info) == [("fleet.sync info", "info")]
    assert told(events.Notified, **info, context={"incident": "partner"}) == [("partner", "over")]
    assert told(events.Notified, **info, context={"incident": "partner", "kind": "report"}) == [
        ("partner", "over"), ("fleet.sync report", "info"),
    ]  # fmt: skip


def test_words_that_mean_something_are_no_context() -> None:
    [found] = meaning(event_of(events.Notified, context={"kind": "a", "incident": "b", "sent": 3}))

    assert isinstance(found, Happened)
    assert found.notice.context == {"sent": 3}


def test_a_breaker_that_another_kernel_has_opened_is_told_by_that() -> None:
    assert told(events.BreakerOpened, failures=0) == []
    assert told(events.BreakerOpened, breaker="partner", failures=5) == [("partner", "warning")]


def test_a_first_loss_is_no_news() -> None:
    assert told(events.RunLost, losses=1) == []
    assert told(events.RunLost, losses=2) == [("a job lost", "warning")]


@pytest.mark.parametrize(("verdict", "severity"), [("late", "error"), ("long", "warning"), ("degraded", "info")])
def test_what_health_finds_begins_with_its_verdict_and_ends_with_another(verdict: str, severity: str) -> None:
    key = f"a job {verdict}"

    assert (key, severity) in told(events.HealthChanged, verdict=verdict)
    assert (key, "over") in told(events.HealthChanged, verdict="healthy")


@pytest.mark.parametrize("verdict", ["failing", "stuck"])
def test_what_fails_or_is_stuck_has_been_told_by_its_own_event(verdict: str) -> None:
    assert {how for _, how in told(events.HealthChanged, verdict=verdict)} == {"over"}
