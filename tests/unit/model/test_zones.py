"""Which names are zones, and where the time of a zone is cut."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from kernel.model import zones
from kernel.model.errors import ConfigError
from kernel.model.zones import stretch_at, zone_of

HOSTILE = (
    *("", ".", "..", "../../etc/passwd", "/etc/passwd", "C:\\zone", "UTC\0", "UTC\n", "\ud800", "Österreich/Wien"),
    *("Europe", "Europe/", "zone.tab", "right/UTC", "posix/UTC", "Europe/Berlin" * 50),
)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_a_zone_is_found_by_its_name(name: str) -> None:
    assert zone_of(name).key == name


def test_an_unknown_zone_is_told_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"'Europe/Berln' is no time zone: .* Did you mean \"Europe/Berlin\"\?"):
        zone_of("Europe/Berln")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_is_a_path_or_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is no time zone"):
        zone_of(name)


@pytest.mark.parametrize("name", [None, 1, b"UTC", ["UTC"], ZoneInfo("UTC")])
def test_what_is_no_text_is_no_zone(name: object) -> None:
    with pytest.raises(ConfigError, match="is no time zone"):
        zone_of(name)  # type: ignore[arg-type] # as a plugin may


def test_a_stretch_ends_where_clocks_change_and_the_next_one_knows_the_offset_before() -> None:
    berlin, change = zone_of("Europe/Berlin"), int(datetime.fromisoformat("2026-03-29T01:00:00+00:00").timestamp())

    winter, summer = stretch_at(berlin, change - 1), stretch_at(berlin, change)

    assert (winter.end, winter.offset) == (change, 3600)
    assert (summer.start, summer.before, summer.offset) == (change, 3600, 7200)


def test_stretches_join_without_a_gap_and_tell_each_change_once() -> None:
    new_york, end = zone_of("America/New_York"), 4_102_444_800  # from 1900 to 2100
    instant, told = -2_208_988_800, 0

    while instant < end:
        stretch = stretch_at(new_york, instant)
        following = stretch_at(new_york, stretch.end)
        assert stretch.start <= instant < stretch.end
        assert following.start == stretch.end or following.offset == stretch.offset
        told += following.start == stretch.end < end and following.before != following.offset
        instant = stretch.end

    assert told == 358


@pytest.mark.parametrize("distance", [0, 1, 1800, 3 * 3600])
def test_a_change_just_before_the_border_of_two_pieces_is_known_on_both_sides(
    distance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    berlin = ZoneInfo.no_cache("Europe/Berlin")  # a zone of its own, so that no cut of another test is remembered
    change = int(datetime.fromisoformat("2026-10-25T01:00:00+00:00").timestamp())
    monkeypatch.setattr(zones, "_BLOCK", change + distance)

    summer, winter, on_border = (stretch_at(berlin, at) for at in (change - 1, change, change + distance))

    assert (summer.end, summer.offset) == (change, 7200)
    assert (winter.start, winter.before, winter.offset) == (change, 7200, 3600)
    assert (on_border.start, on_border.before, on_border.offset) == (change, 7200, 3600)
