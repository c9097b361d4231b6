"""What makes a run the only one of its job: the policy's options, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.model.errors import ConfigError
from kernel.model.unique import Unique, unique

NOT_A_NUMBER = float("nan")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"by": []},
            r"Unique\(by=\[\]\): expected at least one payload field, as by=\[\"car_id\"\]; without by the whole",
        ),
        ({"by": ()}, r"Unique\(by=\(\)\): expected at least one payload field"),
        ({"by": ""}, r"Unique\(by=''\): expected names of payload fields"),
        ({"by": [""]}, r"Unique\(by=\[''\]\): expected names of payload fields"),
        ({"by": True}, r"Unique\(by=True\): expected names of payload fields"),
        ({"by": {"car_id"}}, r"Unique\(by=\{'car_id'\}\): expected names of payload fields"),
        ({"key": ""}, r"Unique\(key\): '': expected printable text of 1 to 500 characters"),
        ({"key": True}, r"Unique\(key\): True: expected printable text"),
        ({"key": "a", "by": ["b"]}, "expected one of key and by, not both"),
        ({"within": ""}, r"Unique\(within\): '' is no duration"),
        ({"within": True}, r"Unique\(within\): True is no duration"),
        ({"within": NOT_A_NUMBER}, r"Unique\(within\): nan is no duration"),
        ({"within": 0}, r"Unique\(within\): 0 is not a usable duration"),
        ({"on_conflict": ""}, r"Unique\(on_conflict=''\): expected one of keep, replace, debounce"),
        ({"on_conflict": True}, r"Unique\(on_conflict=True\): expected one of keep"),
    ],
    ids=repr,
)
def test_a_wrong_option_is_told_with_its_name_and_what_was_expected(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Unique(**options)


def test_a_table_without_fields_is_refused_as_the_policy_is() -> None:
    with pytest.raises(ConfigError, match=r"Unique\(by=\[\]\): expected at least one payload field"):
        unique({"by": []})


@pytest.mark.parametrize(
    "policy",
    [
        Unique(),
        Unique("mine"),
        Unique(by="car_id"),
        Unique(by=["car_id", "speed"], within="10m", on_conflict="debounce"),
    ],
    ids=repr,
)
def test_its_arguments_make_it_again(policy: Unique) -> None:
    assert unique(policy.arguments()) == policy
    assert unique(policy.arguments(), Unique(by=["other"])) == policy


@pytest.mark.parametrize(
    ("given", "base", "made"),
    [
        ("mine", Unique(by=["car_id"], within="10m"), Unique("mine", within="10m")),
        ({"key": "mine"}, Unique(by=["car_id"], within="10m"), Unique("mine", within="10m")),
        ({"by": ["speed"]}, Unique("mine", within="10m"), Unique(by=["speed"], within="10m")),
        ({"within": "1m"}, Unique(by=["car_id"]), Unique(by=["car_id"], within="1m")),
        ({"within": "1m"}, Unique(), Unique(within="1m")),
    ],
    ids=repr,
)
def test_a_table_changes_what_it_names_of_the_job_s_own_policy(given: Any, base: Unique, made: Unique) -> None:
    assert unique(given, base) == made
