-- Only if the version that is there, 0 for none, is the one before.
INSERT INTO mainspring.breaker AS kept (name, version, state, opened, until, successes, probe, error)
SELECT $1, $2::int, $3, $4, $5, $6, $7, $8
WHERE $2::int = 1 OR EXISTS (SELECT 1 FROM mainspring.breaker WHERE name = $1)
ON CONFLICT (name) DO UPDATE SET
    version = excluded.version, state = excluded.state, opened = excluded.opened, until = excluded.until,
    successes = excluded.successes, probe = excluded.probe, error = excluded.error
    WHERE kept.version = excluded.version - 1
