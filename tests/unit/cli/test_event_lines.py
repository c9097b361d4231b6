"""What `mainspring events --follow` says of an event to people."""

from __future__ import annotations

from typing import Any

from kernel.cli.events import event_lines

AT = {"at": 1785000000.5}


def rest_of(event: dict[str, Any]) -> str:
    """The first line without the time and the event's name."""
    return event_lines({"event": "RunFailed", **AT, **event})[0].split("  RunFailed         ")[1]


def test_numbers_are_rounded_to_milliseconds() -> None:
    event = {"seconds": 0.012345678912, "left": 123456.7891234, "fraction": 1.0, "attempt": 3}

    assert rest_of(event) == "seconds=0.012 left=123456.789 fraction=1 attempt=3"


def test_instants_are_told_as_dates() -> None:
    assert rest_of({"due": 1785000000.123456, "until": None}) == "due=2026-07-25T17:20:00.123Z until=-"


def test_of_an_error_the_first_line_is_shown() -> None:
    error = "CrashError: it broke\nTraceback (most recent call last):\n  File x\nValueError: no luck"

    assert rest_of({"error": error}) == "error=CrashError: it broke …"
    assert rest_of({"error": "ValueError: no luck\n"}) == "error=ValueError: no luck"


def test_of_a_logged_traceback_what_was_said_and_the_error_are_shown() -> None:
    lines = [
        {"level": "error", "text": "it broke\nTraceback (most recent call last):\n  File x\nValueError: no luck"},
        {"level": "info", "text": "\x1b[2Jgoing on"},
    ]

    first, second = event_lines({"event": "RunLogged", **AT, "lines": lines})[1:]

    assert first.split("  ")[-1] == "it broke … ValueError: no luck"
    assert second.endswith("info     �[2Jgoing on")
