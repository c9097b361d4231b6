"""Hooks that fail: each fault is told, the fifth within ten minutes puts the plugin aside, and it is let back."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

from kernel.model.errors import RequestError, UnknownNameError
from kernel.model.events import KernelStarted, PluginFaulted, PluginQuarantined, PluginReleased
from kernel.plugin_quarantine import MOST_FAULTS, REST_SECONDS, WITHIN_SECONDS
from tests.unit.plugin_folder import PluginFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENT = KernelStarted(1.0, "k", 1)
TELLER = """
    from kernel import every, hookimpl

    heard = []
    fails = True

    @every("60s")
    async def work(ctx): ...

    @hookimpl
    def register_jobs():
        return [work]

    @hookimpl
    async def on_event(event):
        heard.append(event)
        if fails:
            raise ValueError("no")
"""
ASKED = """
    from kernel import hookimpl

    asked = []

    @hookimpl
    def check_health():
        asked.append("health")
        raise OSError("gone")

    @hookimpl
    async def send_notice(notice):
        asked.append("notice")
        raise OSError("gone too")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[PluginFolder]:
    found = PluginFolder(tmp_path)
    yield found
    found.host.close()


def module_of(folder: PluginFolder, name: str) -> Any:
    (module,) = [
        module
        for full, module in sys.modules.items()
        if full.endswith(f".{name}") and str(getattr(module, "__file__", "")).startswith(str(folder.root))
    ]
    return module


async def tell(folder: PluginFolder, times: int) -> None:
    for _ in range(times):
        for listener in folder.host.listeners():
            await listener.tell([EVENT])


async def test_a_fault_is_told_with_its_place_and_the_plugin_goes_on(
    folder: PluginFolder, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder.write("bad", TELLER)
    await folder.load()

    await tell(folder, MOST_FAULTS - 1)

    state = folder.states()["bad"]
    assert state.state == "enabled"
    assert [fault.reason for fault in state.faults] == ["on_event: ValueError: no"] * 4
    assert len(module_of(folder, "bad").heard) == 4
    place = f"{path}:18"
    assert folder.told == [PluginFaulted(folder.clock.now(), "bad", "on_event", "on_event: ValueError: no", place)] * 4
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert lines[-1] == (
        f"plugin bad: on_event: ValueError: no ({place}); fault 4, at 5 within 10 m its hooks are not called for a while"
    )


async def test_the_fifth_fault_within_ten_minutes_puts_it_aside_and_its_jobs_go_on(
    folder: PluginFolder, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder.write("bad", TELLER)
    await folder.load()

    await tell(folder, MOST_FAULTS + 20)

    state = folder.states()["bad"]
    assert (state.state, state.place) == ("quarantined", f"{path}:18")
    assert state.reason == (
        "5 faults of its hooks within 10 m, the last one: on_event: ValueError: no; its hooks are not called until "
        "2026-01-01T00:10:00+00:00, its jobs go on"
    )
    assert [job.name for job in state.jobs] == ["bad.work"]
    assert [job.name for job in folder.host.jobs()] == ["bad.work"]
    assert len(module_of(folder, "bad").heard) == MOST_FAULTS
    until = folder.clock.now() + REST_SECONDS
    assert folder.told[MOST_FAULTS:] == [PluginQuarantined(folder.clock.now(), "bad", state.reason, state.place, until)]
    assert len(caplog.records) == MOST_FAULTS + 1  # a listener that fails a million times fills no log


async def test_it_is_let_back_after_ten_minutes_and_its_faults_are_forgotten(folder: PluginFolder) -> None:
    folder.write("bad", TELLER)
    await folder.load()
    await tell(folder, MOST_FAULTS)

    await folder.clock.advance(REST_SECONDS - 1)
    before = folder.states()["bad"].state
    await folder.clock.advance(1)

    after = folder.states()["bad"]
    assert (before, after.state, after.reason, after.faults) == ("quarantined", "enabled", "", ())
    assert folder.told[-1] == PluginReleased(folder.clock.now(), "bad", "the pause is over")
    module = module_of(folder, "bad")
    module.fails = False
    await tell(folder, 1)
    assert len(module.heard) == MOST_FAULTS + 1
    module.fails = True
    await tell(folder, MOST_FAULTS)
    assert folder.states()["bad"].state == "quarantined"


async def test_faults_that_lie_further_apart_do_not_put_it_aside(folder: PluginFolder) -> None:
    folder.write("bad", TELLER)
    await folder.load()

    for _ in range(3 * MOST_FAULTS):
        await tell(folder, 1)
        await folder.clock.advance(WITHIN_SECONDS / (MOST_FAULTS - 1))

    assert folder.states()["bad"].state == "enabled"
    assert len(folder.states()["bad"].faults) == MOST_FAULTS - 2


async def test_a_clock_that_is_set_makes_no_difference(folder: PluginFolder) -> None:
    folder.write("bad", TELLER)
    await folder.load()
    await tell(folder, MOST_FAULTS - 1)
    folder.clock.step(-7200)

    await tell(folder, 1)
    await folder.clock.advance(REST_SECONDS)

    assert [type(event) for event in folder.told[-2:]] == [PluginQuarantined, PluginReleased]


async def test_it_is_released_by_hand(folder: PluginFolder) -> None:
    folder.write("bad", TELLER)
    await folder.load()
    await tell(folder, MOST_FAULTS)

    folder.host.release("bad")

    assert folder.told[-1] == PluginReleased(folder.clock.now(), "bad", "released by hand")
    await tell(folder, 1)
    assert len(module_of(folder, "bad").heard) == MOST_FAULTS + 1
    await folder.clock.advance(REST_SECONDS / 2)
    await tell(folder, MOST_FAULTS)
    await folder.clock.advance(REST_SECONDS / 2)  # the end of the first pause is not the end of the second
    assert folder.states()["bad"].state == "quarantined"
    assert sum(isinstance(event, PluginReleased) for event in folder.told) == 1


async def test_one_that_is_not_quarantined_cannot_be_released(folder: PluginFolder) -> None:
    folder.write("bad", TELLER)
    await folder.load()

    with pytest.raises(RequestError, match="plugin bad is enabled: expected one that is quarantined"):
        folder.host.release("bad")
    with pytest.raises(UnknownNameError, match='Did you mean "bad"'):
        folder.host.release("bat")


async def test_hooks_that_are_asked_for_their_answer_count_together(folder: PluginFolder) -> None:
    folder.write("bad", ASKED)
    await folder.load()

    for hook, values in (("check_health", {}), ("send_notice", {"notice": None})) * 3:
        answers = await folder.host.ask(hook, values)

    assert [answer.plugin for answer in answers] == []
    assert module_of(folder, "bad").asked == ["health", "notice", "health", "notice", "health"]
    assert [fault.hook for fault in folder.states()["bad"].faults] == [
        "check_health", "send_notice", "check_health", "send_notice", "check_health",
    ]  # fmt: skip


async def test_a_new_configuration_of_other_plugins_leaves_it_where_it_is(folder: PluginFolder) -> None:
    folder.write("bad", TELLER)
    folder.write("other", "")
    await folder.load("[plugins.bad]")
    await tell(folder, MOST_FAULTS)

    states = await folder.load("[plugins.bad]\n[plugins.other]")

    assert (states["bad"].state, states["other"].state) == ("quarantined", "enabled")
    assert [job.name for job in states["bad"].jobs] == ["bad.work"]


async def test_switched_off_and_on_it_begins_anew(folder: PluginFolder) -> None:
    folder.write("bad", TELLER)
    await folder.load()
    await tell(folder, MOST_FAULTS)

    await folder.load("[plugins.bad]\nenabled = false")
    states = await folder.load("[plugins.bad]")
    await folder.clock.advance(REST_SECONDS)

    assert states["bad"].state == "enabled"
    assert not any(isinstance(event, PluginReleased) for event in folder.told)
