"""What a run wrote down, as it is shown: whatever is in the store, and no more than can be shown."""

from __future__ import annotations

from typing import Any

from kernel.contracts.store import RunLog
from kernel.run_record import MOST_CHARACTERS, record_of


class Written:
    """Of a store what is asked for."""

    def __init__(self, steps: dict[str, str], log: str = "", *, is_cut: bool = False) -> None:
        self._steps = steps
        self._log = RunLog(log, is_cut)

    async def steps(self, _run: str) -> dict[str, str]:
        return self._steps

    async def log(self, _run: str) -> RunLog:
        return self._log


async def shown(*written: Any, **more: Any) -> dict[str, Any]:
    return await record_of(Written(*written, **more), "any")  # type: ignore[arg-type] # all that is asked for


async def test_a_run_that_told_nothing_has_nothing_to_show() -> None:
    assert await shown({}) == {"steps": [], "steps_left_out": 0, "log": [], "log_is_cut": False}


async def test_what_somebody_wrote_by_hand_is_shown_as_the_text_it_is() -> None:
    lines = [
        "plain",
        "5",
        '{"at": 5}',
        '{"at": "x", "attempt": 1, "level": "info", "text": "good", "more": 1}',
        "[" * 9_999,
    ]

    found = await shown({"a": "no JSON", "b": "[1]"}, "\n".join(lines) + "\n", is_cut=True)

    assert [step["result"] for step in found["steps"]] == ["no JSON", [1]]
    assert [line["text"] for line in found["log"]] == ["plain", "5", '{"at": 5}', "good", "[" * 9_999]
    assert found["log"][0] == {"at": None, "attempt": None, "level": None, "text": "plain"}
    assert found["log_is_cut"] is True


async def test_only_line_feeds_end_a_line() -> None:
    line = '{"at": "x", "attempt": 1, "level": "info", "text": "one\u2028two\x85three"}'

    found = await shown({}, f"{line}\n{line}\n")

    assert [one["text"] for one in found["log"]] == ["one\u2028two\x85three"] * 2


async def test_of_more_steps_than_can_be_shown_the_last_ones_are() -> None:
    found = await shown({f"step {number:04}": f'"{"x" * 990}"' for number in range(1_500)})

    names = [step["name"] for step in found["steps"]]
    assert names[-1] == "step 1499"
    assert names == sorted(names)
    assert len(names) + found["steps_left_out"] == 1_500
    assert len(names) == MOST_CHARACTERS // 1_001
