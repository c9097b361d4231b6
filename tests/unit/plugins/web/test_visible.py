"""Texts of others as a page shows them."""

from __future__ import annotations

import pytest

from plugins.web.sentence import sentence
from plugins.web.visible import block, data, line, visible

RUN = "01a20b57-cc6f-73e7-b79f-2a26fc3190d5"


@pytest.mark.parametrize(
    ("hidden", "written"),
    [
        ("\x00", r"\x00"), ("\x1b[31m", r"\x1b[31m"), ("\r", r"\r"), ("\u202e", r"\u202e"), ("\u2066", r"\u2066"),
        ("\u200b", r"\u200b"), ("\ufeff", r"\ufeff"), ("\x85", r"\x85"), ("\ud800", r"\ud800"), ("\u2028", r"\u2028"),
        ("\U000e0041", r"\U000e0041"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_written_out(hidden: str, written: str) -> None:
    assert visible(f"a{hidden}b") == f"a{written}b"
    visible(f"a{hidden}b").encode()


def test_what_people_write_stays_as_it_is() -> None:
    text = "Grüße\tan 東京,\n\u0645\u0631\u062d\u0628\u0627 🚗"

    assert visible(text) == text


def test_a_line_is_the_first_that_says_something_and_is_cut() -> None:
    assert line("\n\n  hello \nworld") == "hello"
    assert line("x" * 1_000_000, 10) == "xxxxxxxxx…"
    assert line("\x00" * 1_000, 20) == r"\x00\x00\x00\x00\x0…"


def test_a_block_keeps_its_beginning_and_its_end_and_says_what_is_left_out() -> None:
    cut = block("begin" + "x" * 100_000 + "end", 1_000)

    assert cut.startswith("beginx")
    assert cut.endswith("xend")
    assert "99,008 characters are left out here" in cut
    assert len(cut) < 1_100


def test_of_ten_thousand_lines_the_first_and_the_last_are_kept() -> None:
    rows = block("\n".join(map(str, range(10_000))), 1_000_000, 100).split("\n")

    assert (rows[0], rows[50], rows[-1]) == ("0", "… 9,900 lines are left out here …", "9999")
    assert len(rows) == 101


def test_data_is_json_in_lines_whatever_stands_in_it() -> None:
    assert data({"a": "\ud800é"}) == '{\n  "a": "\\ud800é"\n}'


def test_a_sentence_tells_how_long_ago_and_links_the_runs_it_names() -> None:
    told = sentence(f"it failed at 2026-01-01T00:00:00+00:00: <b> run {RUN} of kernel {RUN}", 1_767_225_660.0)

    assert "It failed <time" in told
    assert ">1 m ago</time>" in told
    assert "&lt;b&gt;" in told
    assert told.count(f'href="/runs/{RUN}"') == 1


def test_an_instant_that_is_a_limit_stays_an_instant() -> None:
    assert ">2026-01-01 00:00:00</time>" in sentence("the queue is paused until 2026-01-01T00:00:00+00:00", 0.0)
