"""kill -9 on either side of every write of the kernel to its store."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.rig.chance import chance_of
from tests.acceptance.rig.evidence import Evidence
from tests.acceptance.rig.kill_points import CHANGING, ROOT, kill_points, source_files
from tests.acceptance.rig.life import FINISHED, Order
from tests.acceptance.rig.nursery import Nursery
from tests.acceptance.rig.program import write_config
from tests.acceptance.rig.trap import SPOTS

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.acceptance.rig.kill_points import Point
    from tests.acceptance.rig.trap import Spot

POINTS = kill_points()
FILES = sorted({point.file for point in POINTS})
ROUNDS = int(os.environ.get("MAINSPRING_ROUNDS", "25"))
OFTEN = {"enqueue": 20, "look": 20, "claim": 20, "finish": 20, "record": 20, "put_breaker": 4}
"""What a kernel does again and again: killed at one of the first so many."""
MANY_SIDED = {"record": 3, "put_breaker": 3}
"""What is written there for several reasons: killed so many times on each side."""
MOST_SECONDS = 3.0
_KILLED = -9


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


def test_no_change_of_a_store_hides_from_the_list_of_kill_points() -> None:
    written = set()
    for file in source_files():
        text = file.read_text("utf-8")
        assert not re.search(r"getattr\([\w.]*store\b", text), file
        written |= {(str(file.relative_to(ROOT)), call) for call in re.findall(r"store\.(\w+)\(", text)}

    assert {place for place in written if place[1] in CHANGING} == {
        (point.file, point.call) for point in POINTS if not point.is_passed
    }


@pytest.mark.parametrize("file", FILES)
async def test_a_kill_before_or_after_a_write_loses_and_doubles_nothing(
    file: str, nursery: Nursery, tmp_path: Path
) -> None:
    chance = chance_of(file)
    deaths = []
    for point in POINTS:
        if point.file == file:
            spots = spots_of(point)
            half = len(spots) // 2
            for _ in range(MANY_SIDED.get(point.call, 1)):
                deaths += [(point, chance.choice(spots[:half])), (point, chance.choice(spots[half:]))]

    await die_and_come_back(nursery, tmp_path, deaths, chance)


@pytest.mark.parametrize("spot", SPOTS)
async def test_a_kill_while_the_store_is_made_leaves_no_half_of_one(
    spot: Spot, nursery: Nursery, tmp_path: Path
) -> None:
    [opening] = [point for point in POINTS if point.call == "open" and point.file == "kernel/kernel.py"]

    await die_and_come_back(nursery, tmp_path, [(opening, spot)], chance_of(spot))

    left = {name for name in os.listdir(tmp_path) if name.startswith("store.db")}  # noqa: PTH208 - names are what is asked for
    assert left == {"store.db", "store.db.lock", "store.db.write"}


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.function}-{point.call}")
async def test_many_kills_on_all_sides_of_a_write_lose_and_double_nothing(
    point: Point, nursery: Nursery, tmp_path: Path
) -> None:
    chance = chance_of(point)
    deaths = [(point, spot) for spot in spots_of(point)] * ROUNDS
    chance.shuffle(deaths)

    await die_and_come_back(nursery, tmp_path, deaths, chance)


def spots_of(point: Point) -> tuple[Spot, ...]:
    """The first half of them lie before the write, the second after it."""
    # With a kernel's store goes its row; a client has none, so closing its store commits nothing.
    is_nothing_written = point.call == "close" and point.file == "kernel/client.py"
    return ("before", "after") if is_nothing_written else SPOTS


async def die_and_come_back(
    nursery: Nursery, folder: Path, deaths: Sequence[tuple[Point, Spot]], chance: random.Random
) -> None:
    """A store and its kernels, each killed at one point, all but the last; after each life all must be well."""
    write_config(folder, plugins="[plugins.chores]\n[plugins.duties]")
    evidence = Evidence(folder)
    wrong = []
    for life, (point, spot) in enumerate(deaths):
        nth = chance.randint(1, OFTEN.get(point.call, 1))
        ended = nursery.bear(Order(folder, life, chance.randrange(2**32), point, spot, nth))
        assert ended.status == _KILLED, f"{point} was not reached: status {ended.status}\n{ended.log[-4000:]}"
        wrong += [f"{text} (killed {spot} {point}, nth {nth})" for text in await evidence.taken(life, ended.born_at)]
    ended = nursery.bear(Order(folder, len(deaths), 0))
    wrong += await evidence.taken(len(deaths), ended.born_at)
    assert not wrong, "\n".join(wrong)
    assert ended.status == FINISHED, "\n".join([*evidence.unfinished(), ended.log[-4000:]])
    assert max(evidence.recoveries) < MOST_SECONDS
