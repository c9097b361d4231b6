"""The SQL of the fleet's database: one text for both SQLite and PostgreSQL.

Values go in as ``$1``, ``$2`` and so on, never as text. SQLite takes any word for a column's type, so these
are PostgreSQL's.
"""

SCHEMA = """
CREATE TABLE IF NOT EXISTS cars (
    id                  TEXT PRIMARY KEY,
    title               TEXT NOT NULL,
    status              TEXT NOT NULL CHECK (status IN ('AVAILABLE', 'RENTED', 'MAINTENANCE', 'RETIRED')),
    last_maintenance_at TIMESTAMPTZ NOT NULL,
    needs_sync          BOOLEAN NOT NULL,
    price               BIGINT NOT NULL CHECK (price >= 0),
    origin              TEXT NOT NULL,
    year                INTEGER NOT NULL,
    horsepower          INTEGER,
    weight              INTEGER NOT NULL,
    update_number       BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS cars_by_maintenance ON cars (status, last_maintenance_at);
CREATE INDEX IF NOT EXISTS cars_needing_sync ON cars (id) WHERE needs_sync;

CREATE TABLE IF NOT EXISTS reminders (
    car_id  TEXT NOT NULL REFERENCES cars (id) ON DELETE CASCADE,
    day     DATE NOT NULL,
    sent_at TIMESTAMPTZ NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (car_id, day)
);

CREATE TABLE IF NOT EXISTS computations (
    car_id      TEXT PRIMARY KEY REFERENCES cars (id) ON DELETE CASCADE,
    value       DOUBLE PRECISION NOT NULL,
    computed_at TIMESTAMPTZ NOT NULL
);
"""

_SELECT_CAR = """
SELECT id, title, status, last_maintenance_at, needs_sync, price, origin, year, horsepower, weight
FROM cars
"""

BY_ID = _SELECT_CAR + "WHERE id = $1"

NEEDING_MAINTENANCE = _SELECT_CAR + (
    "WHERE status = 'AVAILABLE' AND last_maintenance_at < $1 ORDER BY last_maintenance_at, id"
)
MAINTENANCE_ALERTS = _SELECT_CAR + (
    "WHERE status IN ('AVAILABLE', 'RENTED') AND last_maintenance_at < $1 ORDER BY last_maintenance_at, id"
)
NEEDING_SYNC = _SELECT_CAR + "WHERE needs_sync ORDER BY id LIMIT $1"

COUNT = "SELECT count(*) FROM cars"
COUNT_AVAILABLE = "SELECT count(*) FROM cars WHERE status = 'AVAILABLE'"
REVENUE = """
SELECT origin, CAST(sum(price) AS BIGINT) FROM cars WHERE status = 'RENTED' GROUP BY origin ORDER BY origin
"""
LATEST_UPDATE = "SELECT coalesce(max(update_number), 0) FROM cars"

# Two kernels may fill one empty table at the same time, with the same cars.
INSERT_CAR = """
INSERT INTO cars (id, title, status, last_maintenance_at, needs_sync, price, origin, year, horsepower, weight)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT DO NOTHING
"""

# A car that changed after it was read has not been synced as it is now.
MARK_SYNCED = "UPDATE cars SET needs_sync = FALSE WHERE id = $1 AND status = $2 AND price = $3"

# The number keeps an update that comes twice, or late, from undoing a newer one.
APPLY_UPDATE = """
UPDATE cars SET price = $2, update_number = $3, needs_sync = TRUE WHERE id = $1 AND update_number < $3
"""

ADD_REMINDER = """
INSERT INTO reminders (car_id, day, sent_at, message) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
REMINDERS_OF = "SELECT car_id, day, sent_at, message FROM reminders WHERE car_id = $1 ORDER BY day"

RECORD_COMPUTATION = """
INSERT INTO computations (car_id, value, computed_at) VALUES ($1, $2, $3)
ON CONFLICT (car_id) DO UPDATE SET value = excluded.value, computed_at = excluded.computed_at
"""
COMPUTATION_OF = "SELECT value FROM computations WHERE car_id = $1"
