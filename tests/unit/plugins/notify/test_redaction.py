"""No secret in what is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernel import Notice
from plugins.notify.redaction import Redactor, secrets_in
from plugins.notify.wording import text_of, title_of

CANARY = "c4n4ry-9f8e7d"


def redactor(*secrets: str) -> Redactor:
    return Redactor(lambda text: text.replace("from-the-environment", "***"), secrets)


@pytest.mark.parametrize(
    "text",
    [
        f"https://user:{CANARY}@example.com/x", f"Authorization: Bearer {CANARY}", f"password={CANARY}",
        f'{{"api_key": "{CANARY}"}}', f"token: '{CANARY}'", f"GET /x?access_token={CANARY}&a=1", f"DB_PASSWORD={CANARY}",
        f"https://hooks.slack.com/services/T0/B0/{CANARY}", f"client_secret = {CANARY}",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    assert CANARY not in redactor().text(text)


def test_secrets_that_are_known_are_taken_out_wherever_they_stand() -> None:
    told = redactor(CANARY, CANARY + "-longer").text(f"a{CANARY}b {CANARY}-longer from-the-environment")

    assert told == "a***b *** ***"


def test_common_words_stay() -> None:
    text = "the tokenizer passed 3 of 4 keys; password rules: none given"

    assert redactor("abc").text(text) == text


def test_every_part_of_a_notice_is_gone_through() -> None:
    notice = Notice(
        at=0.0, severity="error", kind="failed", text=f"x {CANARY}", error=CANARY, traceback=f"y\n{CANARY}",
        log=(f"z {CANARY}",), context={"password": "short", "deep": [{"a": (CANARY,)}], CANARY: 1, "token_count": 5},
    )  # fmt: skip

    told = redactor(CANARY).notice(notice)

    everything = json.dumps(told.as_json()) + text_of(told) + title_of(told) + repr(told)
    assert CANARY not in everything
    assert "short" not in everything
    assert told.traceback == "y\n***"


class Hostile:
    def __str__(self) -> str:
        raise ValueError


def test_whatever_a_job_gives_becomes_json() -> None:
    deep: Any = []
    deep.append(deep)
    found = redactor().value({"a": Hostile(), "b": float("nan"), "c": {1, 2}, "d": deep, 5: b"x", "e": None, "f": 1.5})

    json.dumps(found)
    assert found["a"] == "(Hostile cannot be shown: ValueError)"
    assert (found["b"], sorted(found["c"]), found["5"], found["e"], found["f"]) == ("nan", [1, 2], "b'x'", None, 1.5)


def test_no_notice_is_longer_than_channels_take() -> None:
    notice = Notice(
        at=0.0, severity="error", kind="failed", text="x" * 10**6, traceback="y" * 10**6, log=("z" * 10**6,) * 10,
        context={"a": "b" * 10**6},
    )  # fmt: skip

    assert len(json.dumps(redactor().notice(notice).as_json())) < 60_000


def test_settings_are_secret_by_the_name_of_their_key() -> None:
    table = {"password": "a1", "url": "b2", "inner": {"api_key": "c3", "tokens": ["d4"]}, "list": [{"secret": "e5"}]}

    assert sorted(secrets_in(table)) == ["a1", "c3", "d4", "e5"]
