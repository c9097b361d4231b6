"""The one line by which a notice is known: it names what it is about, once."""

from __future__ import annotations

from typing import Any

import pytest

from kernel import Notice
from plugins.notify.incidents import Incidents
from plugins.notify.wording import title_of


def notice(text: str, kind: str = "failed", **fields: Any) -> Notice:
    return Notice(at=0.0, severity="error", kind=kind, text=text, **fields)


@pytest.mark.parametrize(
    ("key", "one", "failing", "still", "recovered"),
    [
        (
            "shop.load failed",
            notice("no answer", job="shop.load"),
            "FAILING: shop.load: no answer",
            "STILL FAILING: shop.load (×2) after 5 m: no answer",  # noqa: RUF001 - times
            "RECOVERED: shop.load after 5 m 1 s: it had failed 2 times",
        ),
        (
            "shop.load late",
            notice("no run for 2 h", "late", job="shop.load"),
            "FAILING: shop.load: no run for 2 h",
            "STILL FAILING: shop.load (×2) after 5 m: no run for 2 h",  # noqa: RUF001 - times
            "RECOVERED: shop.load (late) after 5 m 1 s: it had failed 2 times",
        ),
        (
            "partner",
            notice("no answer", job="shop.load"),
            "FAILING: partner: shop.load: no answer",
            "STILL FAILING: partner: shop.load (×2) after 5 m: no answer",  # noqa: RUF001 - times
            "RECOVERED: partner after 5 m 1 s: it had failed 2 times",
        ),
        (
            "plugin_broken shop",
            notice("the plugin shop is broken: no luck", "plugin_broken"),
            "FAILING: the plugin shop is broken: no luck",
            "STILL FAILING (×2) after 5 m: the plugin shop is broken: no luck",  # noqa: RUF001 - times
            "RECOVERED: plugin shop after 5 m 1 s: it had failed 2 times",
        ),
        (
            "channel_failed pager",
            notice("notices by pager cannot be sent: down", "channel_failed"),
            "FAILING: notices by pager cannot be sent: down",
            "STILL FAILING (×2) after 5 m: notices by pager cannot be sent: down",  # noqa: RUF001 - times
            "RECOVERED: notices by pager after 5 m 1 s: it had failed 2 times",
        ),
        (
            "store_troubled",
            notice("the store is full", "store_troubled"),
            "FAILING: the store is full",
            "STILL FAILING (×2) after 5 m: the store is full",  # noqa: RUF001 - times
            "RECOVERED: the store after 5 m 1 s: it had failed 2 times",
        ),
    ],
)
def test_the_titles_of_an_incident_name_it_once(
    key: str, one: Notice, failing: str, still: str, recovered: str
) -> None:
    incidents = Incidents()
    titles: list[str] = []
    for at in (0.0, 1.0):
        incidents.happened(key, one, at, lasts=True)
        titles += map(title_of, (message.notice for message in incidents.due(at)))
    titles += map(title_of, (message.notice for message in incidents.due(300.0)))
    incidents.over(key, 301.0)
    titles += map(title_of, (message.notice for message in incidents.due(301.0)))

    assert titles == [failing, still, recovered]


def test_what_is_no_incident_has_its_severity_and_its_job() -> None:
    assert title_of(notice("67 cars", "reminder", job="fleet.check")) == "ERROR: fleet.check: 67 cars"
    assert title_of(notice("the wall clock was set back", "clock_stepped")) == "ERROR: the wall clock was set back"


def test_a_long_title_ends_at_a_word_and_one_of_a_single_word_is_cut() -> None:
    text = f"{'x' * 100} Cannot connect to host partner ssl:default [Connection refused] {'y' * 50}"

    assert title_of(notice(text)).endswith("to host partner …")
    assert title_of(notice("x" * 500)) == f"ERROR: {'x' * 142}…"
