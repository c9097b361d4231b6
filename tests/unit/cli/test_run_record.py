"""How progress, steps and log look on a terminal, and which lines of a log are new."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.cli.run_record import attempt_fields, log_line, new_lines, progress_text, record_fields

LINE = {"at": "2026-01-31T09:00:00.120+00:00", "attempt": 2, "level": "info", "text": "well"}


def run(**given: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {
        "progress": None,
        "progress_text": None,
        "steps": [],
        "steps_left_out": 0,
        "log": [],
        "log_is_cut": False,
    }
    return {"state": "running", **nothing, **given}


def lines(*texts: str) -> list[dict[str, Any]]:
    return [LINE | {"text": text} for text in texts]


def test_what_there_is_none_of_is_left_out() -> None:
    found = run()

    assert record_fields(found) == {}
    assert found == {"state": "running"}


def attempt(number: int, outcome: str, **given: Any) -> dict[str, Any]:
    return {"attempt": number, "started_at": LINE["at"], "outcome": outcome, "error": None, "reason": None, **given}


def test_several_attempts_stand_one_a_line_and_one_is_not_told_twice() -> None:
    failed = attempt(1, "retrying", error={"type": "ValueError", "message": "bad\x1b car\nmore", "traceback": ""})
    many = [attempt(number, "snoozed", reason="snoozed") for number in range(2, 13)]
    found = attempt_fields([failed, attempt(2, "running")])["attempts"].splitlines()
    cut = attempt_fields([failed, *many])["attempts"].splitlines()

    assert attempt_fields([failed]) == attempt_fields([]) == {}
    assert [line.split()[0] for line in found] == ["1", "2"]
    assert found[0].endswith("retrying     ValueError: bad\ufffd car")
    assert found[1].endswith("  running")
    assert (cut[0], len(cut)) == ("(2 earlier attempts are left out)", 11)


def test_steps_and_log_stand_one_a_line() -> None:
    found = run(
        progress=0.255, progress_text="cars", steps=[{"name": "one", "result": [1]}, {"name": "two", "result": None}],
        steps_left_out=1_000, log=[LINE, LINE | {"text": "ill\nvery"}], log_is_cut=True,
    )  # fmt: skip

    assert record_fields(found) == {
        "progress": "26%  cars",
        "steps": "(1,000 earlier steps are left out)\none  [1]\ntwo  null",
        "log": "(older lines are gone)\n2026-01-31 09:00:00Z  attempt 2  info     well\n"
        "2026-01-31 09:00:00Z  attempt 2  info     ill\n    very",
    }


@pytest.mark.parametrize("text", ["\x1b[2J", "\x07", "\x9b31m", "\u202e", "a\rb", "\x00"])
def test_no_character_drives_the_terminal(text: str) -> None:
    found = run(
        progress=0,
        progress_text=text,
        steps=[{"name": text, "result": text}],
        log=[LINE | {"text": text, "level": text}],
    )

    for shown in record_fields(found).values():
        assert all(part.isprintable() for part in shown.split("\n"))


def test_a_line_that_somebody_wrote_by_hand_has_no_head() -> None:
    assert log_line({"at": None, "attempt": None, "level": None, "text": "plain"}) == "plain"
    assert log_line(LINE | {"text": ""}) == "2026-01-31 09:00:00Z  attempt 2  info"


def test_progress_without_a_text_is_a_number() -> None:
    assert (progress_text(run(progress=0.0, progress_text="")), progress_text(run())) == ("0%", "")


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ("", "abc", "abc"),
        ("abc", "abc", ""),
        ("abc", "abcde", "de"),
        ("abc", "cde", "de"),
        ("abc", "def", "def"),
        ("aaa", "aaaa", "a"),
        ("abab", "babc", "c"),
        ("abc", "", ""),
    ],
)
def test_the_new_lines_of_a_log_that_loses_its_oldest_are_found(before: str, now: str, new: str) -> None:
    assert new_lines(lines(*before), lines(*now)) == lines(*new)
