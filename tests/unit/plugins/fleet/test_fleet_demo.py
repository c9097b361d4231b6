from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from plugins.fleet.car import CarStatus
from plugins.fleet.demo import demo_cars
from plugins.fleet.settings import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_demo_has_the_406_models_of_the_data_under_ids_of_their_own() -> None:
    cars = demo_cars(NOW)

    assert [car.id for car in cars] == [str(number) for number in range(1, 407)]
    assert cars[0].title == "chevrolet chevelle malibu (1970)"
    assert cars[-1].title == "chevy s-10 (1982)"
    assert {car.origin for car in cars} == {"USA", "Europe", "Japan"}
    assert sum(car.horsepower is None for car in cars) == 6


def test_the_demo_is_the_same_each_time() -> None:
    assert demo_cars(NOW) == demo_cars(NOW)


def test_only_the_dates_move_with_the_instant_given() -> None:
    a_year = timedelta(days=365)

    now, later = demo_cars(NOW), demo_cars(NOW + a_year)

    assert [car.last_maintenance_at + a_year for car in now] == [car.last_maintenance_at for car in later]
    assert [(car.status, car.price, car.needs_sync) for car in now] == [
        (car.status, car.price, car.needs_sync) for car in later
    ]


def test_there_is_work_for_every_job() -> None:
    cars = demo_cars(NOW)
    before = NOW - timedelta(days=Settings().maintenance_after_days)

    needing = [c for c in cars if c.status is CarStatus.AVAILABLE and c.last_maintenance_at < before]

    assert 50 <= len(needing) <= 70
    assert 20 <= sum(car.needs_sync for car in cars) <= 60
    assert {car.status for car in cars} == set(CarStatus)
    assert all(1900 <= car.price < 8000 and car.last_maintenance_at <= NOW for car in cars)


def test_settings_without_a_table_are_the_demo_on_a_local_file() -> None:
    settings = Settings()

    assert settings.database.get_secret_value() == "var/fleet.db"
    assert (settings.demo, settings.partner_url, settings.partner_port) == (True, None, 0)


@pytest.mark.parametrize(
    "database", ["cars.db", "/srv/cars.db", "sqlite:////srv/cars.db", "postgresql://u:p@h/c", "postgres://h/c"]
)
def test_a_database_is_a_path_or_a_postgresql_url(database: str) -> None:
    assert Settings.model_validate({"database": database}).database.get_secret_value() == database


@pytest.mark.parametrize("database", ["", "sqlite:///", ":memory:", "mysql://u:p@h/c", "sqlite:///mysql://h/c"])
def test_another_database_is_refused(database: str) -> None:
    with pytest.raises(ValidationError, match="path of a SQLite file or a postgresql:// URL"):
        Settings.model_validate({"database": database})


@pytest.mark.parametrize(
    "table",
    [
        {"maintenance_after_days": 0},
        {"maintenance_after_days": 3651},
        {"partner_port": 65536},
        {"partner_url": "ftp://partner"},
        {"databse": "cars.db"},
    ],
)
def test_a_setting_out_of_bounds_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(table)


def test_a_password_is_never_printed() -> None:
    settings = Settings.model_validate({"database": "postgresql://u:s3cret@h/c"})
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"database": "mysql://u:s3cret@h/c"})

    shown = [repr(settings), str(settings), settings.model_dump_json(), str(caught.value)]

    assert not any("s3cret" in text for text in shown)


def test_every_setting_is_described() -> None:
    schema = Settings.model_json_schema()

    assert all(len(field["description"]) > 20 for field in schema["properties"].values())
    assert schema["properties"]["database"]["default"] == "var/fleet.db"
