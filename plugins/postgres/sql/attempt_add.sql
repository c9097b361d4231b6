-- After the run's row was written, and so locked: when the attempt began, and where, that does not change.
WITH told AS (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::float8[], $4::text[], $5::text[], $6::text[])
        AS told (id, attempt, ended, outcome, reason, error)
),
old AS (
    DELETE FROM mainspring.attempt USING told WHERE attempt.run = told.id AND attempt.attempt <= told.attempt - $7::int
)
INSERT INTO mainspring.attempt (run, attempt, started, ended, outcome, kernel, reason, error)
SELECT run.id, told.attempt, run.started, told.ended, told.outcome, run.kernel, told.reason, told.error
FROM told JOIN mainspring.run ON run.id = told.id
ON CONFLICT (run, attempt) DO UPDATE SET
    started = excluded.started, ended = excluded.ended, outcome = excluded.outcome, kernel = excluded.kernel,
    reason = excluded.reason, error = excluded.error
