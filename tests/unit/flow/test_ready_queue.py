"""What is claimed and not begun: its order, and which of it may start."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kernel.flow.catalog import Catalog
from kernel.flow.ready_queue import UNLIMITED, Limits, ReadyQueue
from kernel.model.queue import Queue
from kernel.model.rate import RateLimit
from kernel.model.run import Claimed
from tests.flow_kit import job_of


async def one() -> None: ...
async def two() -> None: ...


def claimed(number: int, urgency: float = 0.0, job: str = "demo.one", queue: str = "default") -> Claimed:
    return Claimed(f"id{number:04}", job, queue, 5, "{}", 0.0, 0.0, urgency, 1, 1, 0, None)


def queue_with(*queues: Queue, **limits: int | None) -> ReadyQueue:
    """A queue for jobs whose ``concurrency`` is ``limits``, and for these queues."""
    return ready_for(catalog_with(*queues, **limits))


def catalog_with(*queues: Queue, **limits: int | None) -> Catalog:
    catalog = Catalog(queues)
    catalog.add([job_of(function, concurrency=limits.get(function.__name__)) for function in (one, two)])
    return catalog


def ready_for(catalog: Catalog) -> ReadyQueue:
    ready = ReadyQueue(Limits(catalog))
    ready.refresh_limits([])
    return ready


def popped(ready: ReadyQueue, count: int = 1000) -> list[str]:
    found: list[str] = []
    while len(found) < count and (run := ready.pop()) is not None:
        found.append(run.id)
    return found


def test_the_most_urgent_run_comes_first() -> None:
    ready = queue_with()
    ready.push([claimed(1, 30.0), claimed(2, 10.0), claimed(3, 20.0)])

    assert popped(ready) == ["id0002", "id0003", "id0001"]


def test_equally_urgent_runs_come_in_the_order_of_their_ids() -> None:
    ready = queue_with()
    ready.push([claimed(number) for number in (3, 1, 2)])

    assert popped(ready) == ["id0001", "id0002", "id0003"]


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 50)), max_size=60))
def test_runs_come_by_urgency_and_id_whatever_the_order_they_went_in(runs: list[tuple[float, int]]) -> None:
    ready = queue_with()
    given_runs = [claimed(at * 100 + number % 100, urgency) for at, (urgency, number) in enumerate(runs)]

    ready.push(given_runs)

    assert popped(ready) == [run.id for run in sorted(given_runs, key=lambda run: (run.urgency, run.id))]


def test_a_run_whose_job_is_full_stands_aside_for_less_urgent_ones() -> None:
    ready = queue_with(one=1)
    ready.push([claimed(1, 1.0), claimed(2, 2.0), claimed(3, 3.0, "demo.two")])

    assert popped(ready) == ["id0001", "id0003"]
    assert (len(ready), ready.startable) == (1, 0)


def test_a_run_whose_queue_is_full_stands_aside_for_less_urgent_ones() -> None:
    ready = queue_with(Queue("cars", concurrency=1))
    ready.push([claimed(1, 1.0, queue="cars"), claimed(2, 2.0, "demo.two", "cars"), claimed(3, 3.0)])

    assert popped(ready) == ["id0001", "id0003"]


def test_when_a_run_ends_the_most_urgent_of_its_lane_may_start() -> None:
    ready = queue_with(one=1)
    ready.push([claimed(1, 1.0), claimed(3, 3.0), claimed(2, 2.0)])
    first = ready.pop()
    assert first is not None
    assert ready.pop() is None

    woken = ready.ended(first)

    assert woken == 1
    assert popped(ready) == ["id0002"]


def test_a_run_needs_room_in_its_job_and_in_its_queue() -> None:
    ready = queue_with(Queue("cars", concurrency=1), one=1)
    ready.push([claimed(1), claimed(2, queue="cars"), claimed(3, 1.0, "demo.two", "cars"), claimed(4, 2.0)])
    first = ready.pop()
    assert first is not None

    assert popped(ready) == ["id0003"]
    ready.ended(first)
    assert popped(ready) == ["id0004"]


def test_a_run_that_ends_lets_runs_of_its_job_start_in_other_queues() -> None:
    ready = queue_with(one=1)
    ready.push([claimed(1), claimed(2, queue="cars")])
    first = ready.pop()
    assert first is not None
    assert ready.pop() is None

    ready.ended(first)

    assert popped(ready) == ["id0002"]


def test_what_is_taken_out_comes_no_more_and_makes_room_for_a_claim() -> None:
    limits = Limits(catalog_with(one=4))
    ready = ReadyQueue(limits)
    ready.refresh_limits([])
    ready.push([claimed(number) for number in range(4)])
    ready.pop()
    ready.pop()
    full = limits.rooms()[0]["demo.one"]

    taken = ready.take(lambda run: run.id == "id0003")

    assert [run.id for run in taken] == ["id0003"]
    assert (full, limits.rooms()[0]["demo.one"]) == (0, 1)
    assert len(ready) == 1


def test_taking_out_finds_runs_that_stand_aside() -> None:
    ready = queue_with(one=1)
    ready.push([claimed(number) for number in range(3)])
    popped(ready)

    taken = ready.take(lambda run: True)

    assert sorted(run.id for run in taken) == ["id0001", "id0002"]
    assert len(ready) == 0


def test_rooms_are_the_free_slots_so_that_what_is_claimed_begins_at_once() -> None:
    limits = Limits(catalog_with(Queue("cars", concurrency=3), one=2))
    ready = ReadyQueue(limits)
    ready.refresh_limits([])
    before = limits.rooms()
    ready.push([claimed(1, queue="cars"), claimed(2, queue="cars")])

    assert before == ({"demo.one": 2, "demo.two": UNLIMITED}, {"cars": 3})
    assert limits.rooms() == ({"demo.one": 0, "demo.two": UNLIMITED}, {"cars": 1})


def test_there_is_no_room_for_a_job_that_is_not_there() -> None:
    limits = Limits(catalog_with())
    ReadyQueue(limits).refresh_limits([])

    assert "demo.other" not in limits.rooms()[0]


def test_what_the_store_counts_is_said_by_policies_and_queues() -> None:
    async def work(tenant: str = "a") -> None: ...

    by_key = job_of(
        work, name="by-key", concurrency=2, concurrency_by="tenant", rate_limit="5/1s", rate_limit_by="tenant"
    )
    by_job = job_of(two, rate_limit="9/1m")
    catalog = Catalog([Queue("cars", rate_limit=RateLimit(7, 60))])
    catalog.add([job_of(one, concurrency=3), by_key, by_job])
    limits = Limits(catalog)
    ReadyQueue(limits).refresh_limits([])

    assert limits.key_limits == {"demo.by-key": 2}
    assert limits.key_rates == {"demo.by-key": RateLimit(5, 1)}
    assert limits.job_rates == {"demo.two": RateLimit(9, 60)}
    assert limits.queue_rates == {"cars": RateLimit(7, 60)}
    assert limits.rooms() == ({"demo.one": 3, "demo.by-key": UNLIMITED, "demo.two": UNLIMITED}, {"cars": UNLIMITED})


def test_while_there_are_slots_a_lane_with_a_rate_has_room_for_the_claim_itself_says_how_many_begin_at_once() -> None:
    limits = rated()

    assert limits.rooms(4) == ({"demo.one": UNLIMITED, "demo.two": UNLIMITED}, {"cars": UNLIMITED})


def test_when_no_slot_is_free_one_of_a_lane_with_a_rate_is_claimed_for_the_next() -> None:
    limits = rated()
    ready = ReadyQueue(limits)
    before = limits.rooms(0)
    ready.push([claimed(1)])
    held = limits.rooms(0)

    ready.pop()

    assert before == ({"demo.one": 1, "demo.two": UNLIMITED}, {"cars": 1})
    assert held == ({"demo.one": 0, "demo.two": UNLIMITED}, {"cars": 1})
    assert limits.rooms(-3) == before


def test_that_it_has_begun_is_told_so_that_the_next_one_is_claimed() -> None:
    limits = rated()
    ready = ReadyQueue(limits)
    told: list[str] = []
    limits.on_room = lambda: told.append("room")
    limits.rooms(0)
    ready.push([claimed(1), claimed(2, job="demo.two"), claimed(3, job="demo.two", queue="cars")])

    popped(ready)

    assert told == ["room", "room"]
    assert limits.have_cut_short


def rated() -> Limits:
    """Of ``demo.one`` and the queue ``cars``, 5 may begin in a second."""
    catalog = Catalog([Queue("cars", rate_limit=RateLimit(5, 1))])
    catalog.add([job_of(one, rate_limit="5/1s"), job_of(two)])
    limits = Limits(catalog)
    ReadyQueue(limits).refresh_limits([])
    return limits


def test_changed_limits_count_what_runs_and_what_is_held() -> None:
    catalog = catalog_with(one=5)
    limits = Limits(catalog)
    ready = ReadyQueue(limits)
    ready.refresh_limits([])
    ready.push([claimed(number) for number in range(6)])
    begun = [run for _ in range(2) if (run := ready.pop())]

    catalog.set_queues([Queue("default", concurrency=4)])
    ready.refresh_limits(begun)

    assert limits.rooms() == ({"demo.one": 0, "demo.two": UNLIMITED}, {"default": 0})
    assert len(popped(ready)) == 2


def test_limits_that_fall_away_let_everything_start() -> None:
    catalog = catalog_with(one=1)
    ready = ready_for(catalog)
    ready.push([claimed(number) for number in range(4)])
    first = ready.pop()
    assert first is not None
    popped(ready)

    catalog.add([job_of(one)])
    ready.refresh_limits([first])

    assert popped(ready) == ["id0001", "id0002", "id0003"]


def test_it_knows_the_least_urgent_of_all_it_holds() -> None:
    ready = queue_with(one=1)
    ready.push([claimed(number, float(number)) for number in range(1, 6)])
    popped(ready)

    assert (ready.worst(), queue_with().worst()) == (5.0, None)
    assert [run.id for run in ready.least_urgent(2)] == ["id0005", "id0004"]


class Model:
    """The same by going through a list."""

    def __init__(self, limits: dict[str, int | None], queues: dict[str, int]) -> None:
        self.limits, self.queues = limits, queues
        self.held: list[Claimed] = []
        self.running: list[Claimed] = []

    def pop(self) -> Claimed | None:
        for run in sorted(self.held, key=lambda run: (run.urgency, run.id)):
            limit = self.limits.get(run.job.removeprefix("demo."))
            of_job = sum(other.job == run.job for other in self.running)
            of_queue = sum(other.queue == run.queue for other in self.running)
            if (limit is None or of_job < limit) and of_queue < self.queues.get(run.queue, UNLIMITED):
                self.held.remove(run)
                self.running.append(run)
                return run
        return None


steps = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 3), st.integers(0, 5)),
        st.tuples(st.just("pop"), st.just(0), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("take"), st.integers(0, 9), st.just(0)),
    ),
    max_size=80,
)
LANES: list[dict[str, Any]] = [
    {"job": "demo.one", "queue": "default"}, {"job": "demo.one", "queue": "cars"},
    {"job": "demo.two", "queue": "default"}, {"job": "demo.two", "queue": "cars"},
]  # fmt: skip


@given(steps, st.none() | st.integers(1, 3), st.none() | st.integers(1, 3), st.integers(1, 4))
def test_whatever_comes_and_goes_the_most_urgent_run_that_may_start_is_popped(
    given_steps: list[tuple[str, int, int]], limit_one: int | None, limit_two: int | None, limit_cars: int
) -> None:
    ready = queue_with(Queue("cars", concurrency=limit_cars), one=limit_one, two=limit_two)
    model = Model({"one": limit_one, "two": limit_two}, {"cars": limit_cars})

    for number, (step, which, urgency) in enumerate(given_steps):
        match step:
            case "push":
                run = claimed(number, float(urgency), **LANES[which])
                ready.push([run])
                model.held.append(run)
            case "pop":
                assert ready.pop() == model.pop()
            case "end" if model.running:
                run = model.running.pop(which % len(model.running))
                ready.ended(run)
            case "take" if model.held:
                run = model.held.pop(which % len(model.held))
                assert ready.take(lambda one, run=run: one.id == run.id) == [run]  # type: ignore[misc] # bound now
        assert len(ready) == len(model.held)
