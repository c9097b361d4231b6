-- The run that each (run, job, key, instant) stands for: its own when it is there, else the one that has its key.
WITH new (run, job, unique_key, enqueued) AS (VALUES
    (?, ?, ?, ?)-- each
)
SELECT json_group_array(coalesce(
    (SELECT id FROM run WHERE id = new.run),
    (
        SELECT id FROM run INDEXED BY run_unique
        WHERE run.job = new.job AND run.unique_key = new.unique_key AND run.unique_key IS NOT NULL AND run.state <= 5
    ),
    (SELECT run FROM period WHERE job = new.job AND key = new.unique_key AND until > new.enqueued),
    new.run
))
FROM new WHERE new.run IS NOT NULL
