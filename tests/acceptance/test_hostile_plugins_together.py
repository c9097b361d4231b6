"""All hostile plugins at once in one real kernel: it stays up, a good plugin beside them misses nothing, and each is named."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kernel.model.run import RunState
from tests.acceptance.cli_program import Place, _environment, wait_until
from tests.acceptance.rig.hostile_plugins import COMMANDS_RAISE, GOOD, HEAD, PLUGINS

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_MEMORY = 400 * 1024
"""KiB; what floods is bounded."""
# The program itself; only that it waits 1 s for a hook, and not 30.
PROGRAM = """\
import sys
from kernel.plugin_host import PluginHost
PluginHost.__init__.__kwdefaults__ |= {"warn_seconds": 0.5, "limit_seconds": 1.0}
from kernel.__main__ import main
main()
"""


class Kernel:
    """The kernel among them, and what it says."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.log = place.folder / "log"
        self.starts = 0
        self.process = self._started()

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def _started(self) -> subprocess.Popen[bytes]:
        """Up; a plugin that kills its process is left out of the fourth start."""
        while self.starts < 5:
            self.starts += 1
            with self.log.open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, str(self.place.folder / "program.py"), "run"],
                    cwd=self.place.folder,
                    env=_environment() | {"PYTHONWARNINGS": "default"},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            wait_until(lambda: process.poll() is not None or "ready: " in self.said(), 60)  # noqa: B023 - at once
            if process.poll() is None:
                return process
        raise AssertionError(self.said())

    def states(self) -> dict[str, dict[str, Any]]:
        return {one["plugin"]: one for one in self.command("plugins", "list", "--json").json}

    def command(self, *arguments: str) -> Any:
        return self.place.good(*arguments)

    def memory(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1])


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("together")
    tables = "".join(f"[plugins.{name}]\n" for name in PLUGINS if name not in {"Twin", "twin"})
    kernel = '[kernel]\nstore = "sqlite:///var/store.db"\nshutdown_grace = "1s"\n'
    config = f"{kernel}[queues.flood]\nmax_waiting = 500\n{tables}[plugins.good]\n"
    place = Place(folder, config, "")
    for name, hostile in PLUGINS.items():
        place.write_plugin(name, f"{HEAD}\n{hostile.text}")
    place.write_plugin("good", GOOD)
    (folder / "program.py").write_text(PROGRAM)
    found = Kernel(place)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()


@pytest.mark.timeout(240)
def test_a_kernel_with_all_of_them_stays_up_names_each_and_ends_in_order(kernel: Kernel) -> None:
    assert len(PLUGINS) >= 40
    wait_until(lambda: "of job_swallows.work is stuck" in kernel.said(), 60)
    wait_until(lambda: kernel.said().count("is quarantined") >= 7, 60)
    asked = time.monotonic()
    states = kernel.states()
    assert time.monotonic() - asked < 10
    listed = {name for name, one in PLUGINS.items() if one.state != "enabled" or one.reason}
    wrong = "\n".join(f"{name}: {states[name]}" for name in sorted(listed) if not fits(name, states[name]))
    assert not wrong, wrong
    assert states["good"]["state"] == "enabled"
    assert kernel.memory() < MOST_MEMORY

    released = kernel.command("plugins", "release", "on_event_raises")
    assert released.out == "on_event_raises is released: its hooks are called again\n"
    assert "plugin check_health_raises is quarantined" in kernel.place.run("health", "--json").out
    beats = beats_of(kernel)
    assert len(beats) >= 4

    began = time.monotonic()
    kernel.process.send_signal(signal.SIGTERM)
    status = kernel.process.wait(60)

    assert time.monotonic() - began < 20
    assert status == 1  # two attempts would not end
    assert "stopped; attempts were cut short" in kernel.said()
    unnamed = [name for name, one in PLUGINS.items() if one.said and one.said not in kernel.said()]
    assert unnamed == []
    assert kernel.starts == 4  # three that a_killer has ended


def fits(name: str, state: dict[str, Any]) -> bool:
    hostile = PLUGINS[name]
    told = f"{state['reason']} {state['note']}"
    where = state["place"] or state["source"]
    return state["state"] == hostile.state and hostile.reason in told and f"plugins/{name}" in where


def beats_of(kernel: Kernel) -> list[str]:
    """The ticks of the good schedule: each one made a run, none is missing in between."""
    runs = kernel.command("runs", "list", "--job", "good.beat", "--limit", "1000", "--json").json
    assert {run["state"] for run in runs[1:]} == {RunState.COMPLETED}
    ticks = sorted(run["tick_at"] for run in runs if run["kernel"] is not None)
    assert all(run["folded"] == 0 for run in runs)
    instants = [time.mktime(time.strptime(tick[:19], "%Y-%m-%dT%H:%M:%S")) for tick in ticks]
    assert {round(after - before) for before, after in pairwise(instants)} == {2}
    return ticks


def test_one_that_fails_at_its_commands_is_named_by_the_command_line(tmp_path: Path) -> None:
    place = Place(tmp_path, "[plugins.commands_raise]\n", "")
    place.write_plugin("commands_raise", f"{HEAD}\n{COMMANDS_RAISE}")

    done = place.run("nonsense")

    assert done.status == 2
    assert "plugin commands_raise is broken: register_commands: AttributeError: cli" in done.err
