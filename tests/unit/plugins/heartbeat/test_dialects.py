"""What each service is told, as its documentation has it; and which one a URL belongs to."""

from __future__ import annotations

import pytest

from plugins.heartbeat.dialects import DIALECTS, Ping, dialect_of, split

RUN = "01a20ac0-cfda-7625-9e59-02446e32a192"
KERNEL = Ping("success")
START, SUCCESS, FAILURE = Ping("start", RUN), Ping("success", RUN, 1.5), Ping("failure", RUN, 1.5)
HC = "https://hc-ping.com/b94d6d1e-0000-4000-8000-000000000000"
CRONITOR = "https://cronitor.link/p/key/nightly-job"
SENTRY = "https://o0.ingest.us.sentry.io/api/4/cron/nightly/abc/"
BETTER = "https://uptime.betterstack.com/api/v1/heartbeat/XYZ"
KUMA = "https://status.example.com/api/push/TOKEN?status=up&msg=OK&ping="

TOLD = [
    ("healthchecks", HC, START, f"{HC}/start?rid={RUN}"),
    ("healthchecks", HC, SUCCESS, f"{HC}?rid={RUN}"),
    ("healthchecks", HC, FAILURE, f"{HC}/fail?rid={RUN}"),
    ("healthchecks", HC, KERNEL, HC),
    ("healthchecks", f"{HC}?create=1", START, f"{HC}/start?create=1&rid={RUN}"),
    ("cronitor", CRONITOR, START, f"{CRONITOR}?state=run&series={RUN}"),
    ("cronitor", CRONITOR, SUCCESS, f"{CRONITOR}?state=complete&series={RUN}&metric=duration%3A1.500"),
    ("cronitor", CRONITOR, FAILURE, f"{CRONITOR}?state=fail&series={RUN}&metric=duration%3A1.500"),
    ("cronitor", CRONITOR, KERNEL, CRONITOR),
    ("sentry", SENTRY, START, f"{SENTRY}?status=in_progress&check_in_id={RUN}"),
    ("sentry", SENTRY, SUCCESS, f"{SENTRY}?status=ok&check_in_id={RUN}"),
    ("sentry", SENTRY, FAILURE, f"{SENTRY}?status=error&check_in_id={RUN}"),
    ("sentry", f"{SENTRY}?environment=live", KERNEL, f"{SENTRY}?environment=live&status=ok"),
    ("betterstack", BETTER, START, None),
    ("betterstack", BETTER, SUCCESS, BETTER),
    ("betterstack", BETTER, FAILURE, f"{BETTER}/fail"),
    ("betterstack", BETTER, KERNEL, BETTER),
    ("uptime-kuma", KUMA, START, None),
    ("uptime-kuma", KUMA, SUCCESS, f"{KUMA.partition('?')[0]}?status=up&msg=OK%2C+run+{RUN}&ping=1500"),
    ("uptime-kuma", KUMA, FAILURE, f"{KUMA.partition('?')[0]}?status=down&msg=failed%2C+run+{RUN}&ping=1500"),
    ("uptime-kuma", KUMA, KERNEL, f"{KUMA.partition('?')[0]}?status=up&msg=OK"),
]


@pytest.mark.parametrize(("dialect", "url", "ping", "asked"), TOLD)
def test_a_service_is_told_in_its_own_words(dialect: str, url: str, ping: Ping, asked: str | None) -> None:
    assert DIALECTS[dialect](split(url), ping) == asked


def test_every_dialect_is_among_those_that_are_told() -> None:
    assert {dialect for dialect, *_ in TOLD} == set(DIALECTS)


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        (HC, "healthchecks"), ("https://healthchecks.io/x", "healthchecks"), (CRONITOR, "cronitor"), (SENTRY, "sentry"),
        (BETTER, "betterstack"), ("https://betteruptime.com/api/v1/heartbeat/X", "betterstack"),
        (KUMA, "uptime-kuma"), ("http://10.0.0.7:3001/api/push/T", "uptime-kuma"),
        ("https://nothc-ping.com/x", None), ("https://hc-ping.com.example.com/x", None), ("https://example.com", None),
    ],
)  # fmt: skip
def test_the_dialect_is_found_from_the_host(url: str, dialect: str | None) -> None:
    assert dialect_of(split(url)) == dialect


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hc-ping.com/x",
        "ftp://hc-ping.com/x",
        "https://",
        "https://h:0/x",
        "https://h:x/",
        "https://[x/",
        "https://a b/",
        "file:///etc/passwd",
        "https://h/\n",
    ],
)
def test_what_cannot_be_asked_for_is_no_url_and_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="expected the URL that the service shows") as caught:
        split(url)

    assert url in ("", "https://") or url not in str(caught.value)
