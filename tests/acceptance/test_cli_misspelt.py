"""Names of jobs, queues and schedules that nothing bears: told with the nearest one, before and beside a kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.cli_program import CONFIG, Place

if TYPE_CHECKING:
    from pathlib import Path

HELD = "[queues.held]\nconcurrency = 1\n"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, CONFIG + HELD)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--job", "shop.hourl"), "no job named 'shop.hourl'. Did you mean \"shop.hourly\"?"),
        (("--schedule", "shop.hourl"), "no schedule named 'shop.hourl'. Did you mean \"shop.hourly\"?"),
        (("--queue", "nap"), "no queue named 'nap'. Did you mean \"naps\"?"),
    ],
)
@pytest.mark.parametrize("command", ["runs list", "runs cancel --yes"])
def test_before_any_kernel_ran_a_name_that_no_plugin_has_is_refused(
    place: Place, command: str, options: tuple[str, str], told: str
) -> None:
    place.enqueue("shop.hourly")

    done = place.run(*command.split(), *options)

    assert (done.status, done.err) == (2, told + "\n")


@pytest.mark.parametrize(
    "options",
    [
        ("--job", "shop.greet"),
        ("--queue", "held"),
        ("--queue", "naps"),
        ("--schedule", "shop.hourly"),
        ("--tag", "none"),
    ],
)
def test_before_any_kernel_ran_names_without_runs_are_an_empty_list(place: Place, options: tuple[str, str]) -> None:
    place.enqueue("shop.hourly")

    assert place.good("runs", "list", *options).err == "no runs\n"


def test_a_queue_that_nothing_has_is_told_with_the_nearest_and_used_all_the_same(place: Place) -> None:
    first = place.good("enqueue", "shop.nap", "--queue", "nap")
    second = place.good("enqueue", "shop.nap", "--queue", "nap", "--json")

    assert first.err == "note: no job, configuration or other run has the queue 'nap'. Did you mean \"naps\"?\n"
    assert (second.json["queue"], second.err) == ("nap", "")
    assert "note" not in second.json


@pytest.mark.parametrize("queue", ["naps", "held", "default"])
def test_a_queue_that_a_job_or_the_configuration_has_is_no_news(place: Place, queue: str) -> None:
    assert place.good("enqueue", "shop.greet", "--payload", '{"name": "Ada"}', "--queue", queue).err == ""


def test_the_default_queue_is_no_news_where_no_job_uses_it(tmp_path: Path) -> None:
    text = "from kernel import hookimpl, job\n\n@job(queue='naps')\ndef nap(): ...\n\n"
    place = Place(tmp_path, plugin=f"{text}@hookimpl\ndef register_jobs():\n    return [nap]\n")

    assert place.good("enqueue", "shop.nap", "--queue", "default").err == ""


@pytest.mark.parametrize("store", ["sqlite:///var/store.db", "memory://"])
def test_beside_a_kernel_the_same_is_told(tmp_path: Path, store: str) -> None:
    place = Place(tmp_path, CONFIG.replace("sqlite:///var/store.db", store) + HELD)
    with place.kernel():
        enqueued = place.good("enqueue", "shop.hourly", "--queue", "hedl")
        listed = place.run("runs", "list", "--job", "shop.hourl")
        paused = place.run("queues", "pause", "nasp")

    assert enqueued.err == "note: no job, configuration or other run has the queue 'hedl'. Did you mean \"held\"?\n"
    assert (listed.status, listed.err) == (2, "no job named 'shop.hourl'. Did you mean \"shop.hourly\"?\n")
    assert (paused.status, paused.err) == (2, "no queue named 'nasp'. Did you mean \"naps\"?\n")


@pytest.mark.parametrize("store", ["sqlite:///var/store.db", "memory://"])
def test_a_queue_is_resized_in_the_file_before_and_beside_a_kernel(tmp_path: Path, store: str) -> None:
    place = Place(tmp_path, CONFIG.replace("sqlite:///var/store.db", store) + HELD)
    before = place.good("queues", "resize", "naps", "3")
    with place.kernel():
        again = place.good("queues", "resize", "naps", "3")
        unlimited = place.good("queues", "resize", "held", "none")
        wrong = place.run("queues", "resize", "nasp", "4")
        none = place.run("queues", "resize", "naps", "0")
        few = place.run("queues", "resize", "naps", "few")
    text = (tmp_path / "plugins.toml").read_text()

    assert before.out.startswith("naps has a concurrency of 3 in ")
    assert again.out.startswith("naps had a concurrency of 3 already in ")
    assert unlimited.out.startswith("held has no limit in ")
    assert (wrong.status, wrong.err) == (2, "no queue named 'nasp'. Did you mean \"naps\"?\n")
    assert (none.status, none.err) == (2, "0 is no concurrency: expected a whole number from 1 to 100,000\n")
    assert few.err == "N: 'few': expected a whole number from 1 to 100,000, or none\n"
    assert text.endswith("[queues.held]\n\n[queues.naps]\nconcurrency = 3\n")
