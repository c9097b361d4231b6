"""Circuit breakers: the policy's options, and the state machine against a model of its own."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from kernel.model.breaker import CLOSED, FIELDS, HALF_OPEN, OPEN, Breaker, Circuit, Thresholds, breaker
from kernel.model.errors import ConfigError

DEFAULTS = Breaker("partner").thresholds


def fail(circuit: Circuit, times: int, now: float = 0.0, limits: Thresholds = DEFAULTS) -> Circuit:
    for _ in range(times):
        circuit = circuit.failed(circuit.era, limits, now, "ConnectionError: down")
    return circuit


def test_a_breaker_opens_at_the_fifth_failure_in_a_row_probes_after_60_s_and_closes_after_3_successes() -> None:
    assert DEFAULTS == Thresholds() == (5, 60.0, 3)


def test_it_opens_at_exactly_the_threshold() -> None:
    assert fail(Circuit(), 4).state == CLOSED
    assert fail(Circuit(), 5).state == OPEN


def test_a_success_begins_the_count_anew() -> None:
    circuit = fail(Circuit(), 4)

    circuit = fail(circuit.succeeded(circuit.era, DEFAULTS), 4)

    assert circuit.state == CLOSED


def test_an_open_breaker_lets_a_probe_through_from_the_recovery_time_on() -> None:
    circuit = fail(Circuit(), 5, now=100.0)

    assert not circuit.lets_through(math.nextafter(160.0, 0))
    assert circuit.lets_through(160.0)


def test_a_half_open_breaker_lets_one_probe_through_at_a_time() -> None:
    circuit = fail(Circuit(), 5).begun("kernel-1")

    assert (circuit.state, circuit.lets_through(1e9)) == (HALF_OPEN, False)
    assert circuit.succeeded(circuit.era, DEFAULTS).lets_through(0.0)


def test_three_probes_that_succeed_close_it_and_nothing_is_left_of_before() -> None:
    circuit = fail(Circuit(), 5)
    for _ in range(3):
        circuit = circuit.begun("kernel-1")
        circuit = circuit.succeeded(circuit.era, DEFAULTS)

    assert circuit == Circuit(era=circuit.era)


def test_a_probe_that_fails_opens_it_for_another_recovery_time_and_its_successes_are_forgotten() -> None:
    circuit = fail(Circuit(), 5).begun("kernel-1")
    circuit = circuit.succeeded(circuit.era, DEFAULTS).begun("kernel-1")

    circuit = circuit.failed(circuit.era, DEFAULTS, 70.0, "TimeoutError")

    assert (circuit.state, circuit.successes, circuit.until, circuit.error) == (OPEN, 0, 130.0, "TimeoutError")


def test_a_cancelled_probe_frees_its_place_and_counts_for_nothing() -> None:
    circuit = fail(Circuit(), 5).begun("kernel-1")
    circuit = circuit.succeeded(circuit.era, DEFAULTS).begun("kernel-1")

    circuit = circuit.left(circuit.era)

    assert (circuit.state, circuit.successes, circuit.lets_through(0.0)) == (HALF_OPEN, 1, True)


def test_a_slow_success_begun_before_the_trip_closes_nothing() -> None:
    before = Circuit()
    tripped = fail(before, 5)
    probing = tripped.begun("kernel-1")

    assert tripped.succeeded(before.era, DEFAULTS) is tripped
    assert probing.succeeded(before.era, DEFAULTS) is probing
    assert probing.failed(before.era, DEFAULTS, 99.0, "") is probing
    assert probing.left(before.era) is probing


# Options


@pytest.mark.parametrize("option", ["failure_threshold", "success_threshold"])
@pytest.mark.parametrize("value", [0, -1, 1_000_001, 2.0, True, "5", None, math.nan, [5]])
def test_a_threshold_is_a_whole_number_in_bounds(option: str, value: Any) -> None:
    options: dict[str, Any] = {option: value}

    with pytest.raises(ConfigError, match=rf"Breaker\({option}\): .* a whole number from 1 to 1,000,000"):
        Breaker("partner", **options)


@pytest.mark.parametrize("value", [0, -1, "soon", math.inf, None, True, [1]])
def test_a_recovery_time_is_a_duration_of_more_than_zero(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"Breaker\(recovery_timeout\): .* expected"):
        Breaker("partner", recovery_timeout=value)


@pytest.mark.parametrize("value", ["Wait", "", None, True, ["wait"]])
def test_when_open_is_one_of_the_words_that_the_error_names(value: Any) -> None:
    with pytest.raises(ConfigError, match="expected one of wait, skip"):
        Breaker("partner", when_open=value)


@pytest.mark.parametrize("value", ["", "a\nb", "x" * 101, 5, None, "\ud800"])
def test_a_name_is_printable_text_of_at_most_100_characters(value: Any) -> None:
    with pytest.raises(ConfigError, match="printable text of 1 to 100 characters") as caught:
        Breaker(value)
    assert str(caught.value).isprintable()


def test_a_policy_is_a_name_a_breaker_or_a_table_put_over_the_one_that_is_there() -> None:
    made = breaker({"name": "partner", "recovery_timeout": "5m", "when_open": "skip"})

    assert breaker("partner") == Breaker("partner")
    assert made == Breaker("partner", recovery_timeout=300, when_open="skip")
    assert breaker({"failure_threshold": 2}, made) == Breaker(
        "partner", failure_threshold=2, recovery_timeout="5m", when_open="skip"
    )
    assert breaker(made) is made
    assert breaker(None, made) is None


@pytest.mark.parametrize("value", [5, True, ["partner"], {}, {"failure_threshold": 2}])
def test_what_is_no_policy_is_refused_with_what_is_expected(value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        breaker(value)
    assert all(field in str(caught.value) for field in FIELDS)


def test_an_unknown_key_of_a_table_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"'failure_treshold': .* Did you mean \"failure_threshold\"\?"):
        breaker({"name": "partner", "failure_treshold": 2})
    with pytest.raises(ConfigError, match="5: nothing of a breaker; expected one of name"):
        breaker({"name": "partner", 5: 2})


def test_its_arguments_make_it_again() -> None:
    made = Breaker("partner", failure_threshold=2, recovery_timeout="5m", success_threshold=1, when_open="skip")

    assert Breaker(**made.arguments()) == made


# The state machine against a model


class Reference:
    """The same in other words: spells of one mood follow one another, and a call knows the spell it began in."""

    def __init__(self, limits: Thresholds) -> None:
        self.limits = limits
        self.good: list[bool] = []
        self.opened: float | None = None
        self.spell = 0
        self.prober: int | None = None
        self.spell_of: dict[int, int] = {}

    def mood(self, now: float) -> str:
        if self.opened is None:
            return "closed"
        return "resting" if now < self.opened + self.limits.recovery_seconds else "trying"

    def begin(self, call: int, now: float) -> bool:
        mood = self.mood(now)
        if mood == "resting" or (mood == "trying" and self.prober is not None):
            return False
        if mood == "trying":
            self.prober = call
        self.spell_of[call] = self.spell
        return True

    def end(self, call: int, good: bool | None, now: float) -> None:
        if self.spell_of.pop(call) != self.spell:
            return
        if self.opened is None:
            self._end_while_closed(good, now)
        elif call == self.prober:
            self._end_of_probe(good, now)

    def _end_while_closed(self, good: bool | None, now: float) -> None:
        if good is not None:
            self.good.append(good)
        row = self.good[-self.limits.failure_threshold :]
        if len(row) == self.limits.failure_threshold and not any(row):
            self._open(now)

    def _end_of_probe(self, good: bool | None, now: float) -> None:
        self.prober = None
        if good is False:
            self._open(now)
        elif good:
            self.good.append(True)
            if len(self.good) == self.limits.success_threshold:
                self.good, self.opened, self.spell = [], None, self.spell + 1

    def _open(self, now: float) -> None:
        self.good, self.opened, self.spell, self.prober = [], now, self.spell + 1, None


class BreakerMachine(RuleBasedStateMachine):
    """Several calls in flight, in any order, and time that passes."""

    calls: Bundle[int] = Bundle("calls")

    @initialize(failures=st.integers(1, 4), recovery=st.sampled_from([0.5, 10.0, 60.0]), successes=st.integers(1, 4))
    def set_up(self, failures: int, recovery: float, successes: int) -> None:
        self.limits = Thresholds(failures, recovery, successes)
        self.circuit = Circuit()
        self.reference = Reference(self.limits)
        self.now = 1_000.0
        self.eras: dict[int, int] = {}
        self.number = 0

    @rule(target=calls, count=st.integers(1, 4))
    def begin(self, count: int) -> Any:
        return multiple(*[number for number in (self.begin_one() for _ in range(count)) if number])

    def begin_one(self) -> int:
        """The number of the call; 0 when it was not let through."""
        self.number += 1
        may = self.circuit.lets_through(self.now)
        assert may == self.reference.begin(self.number, self.now)
        if not may:
            return 0
        self.circuit = self.circuit.begun("me")
        self.eras[self.number] = self.circuit.era
        return self.number

    @rule(call=consumes(calls), good=st.sampled_from([True, False, None]))
    def end(self, call: int, good: bool | None) -> None:
        """None: it was cancelled."""
        era = self.eras.pop(call)
        if good is None:
            self.circuit = self.circuit.left(era)
        elif good:
            self.circuit = self.circuit.succeeded(era, self.limits)
        else:
            self.circuit = self.circuit.failed(era, self.limits, self.now, "error")
        self.reference.end(call, good, self.now)

    @rule()
    def the_partner_is_down_for_a_while(self) -> None:
        """Fresh calls fail until none is let through; then the recovery time passes. Older ones are still in flight."""
        while self.circuit.state == CLOSED:
            self.end(self.begin_one(), False)
        self.now += self.limits.recovery_seconds

    @rule(share=st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]))
    def time_passes(self, share: float) -> None:
        self.now += self.limits.recovery_seconds * share

    @invariant()
    def both_say_the_same(self) -> None:
        if not hasattr(self, "circuit"):
            return
        mood = self.reference.mood(self.now)
        assert (self.circuit.state == CLOSED) == (mood == "closed")
        assert self.circuit.lets_through(self.now) == (
            mood == "closed" or (mood == "trying" and self.reference.prober is None)
        )
        assert (self.circuit.probe is None) == (self.reference.prober is None)
        if self.circuit.state != HALF_OPEN:
            assert self.circuit.successes == 0


BreakerMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestBreakerMachine = BreakerMachine.TestCase
