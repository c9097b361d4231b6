-- Of runs that were cancelled.
DELETE FROM period WHERE (job, key, run) IN (
    SELECT run.job, run.unique_key, run.id
    FROM (VALUES
        (?)-- each
    ) AS cancelled CROSS JOIN run ON run.id = cancelled.column1
    WHERE run.unique_key IS NOT NULL
)
