INSERT INTO breaker (name, version, state, opened, until, successes, probe, error)
SELECT :name, :version, :state, :opened, :until, :successes, :probe, :error
WHERE :version = 1 OR EXISTS (SELECT 1 FROM breaker WHERE name = :name)
ON CONFLICT (name) DO UPDATE SET
    version = excluded.version, state = excluded.state, opened = excluded.opened, until = excluded.until,
    successes = excluded.successes, probe = excluded.probe, error = excluded.error
    WHERE breaker.version = excluded.version - 1
