-- The concurrency keys of these runs, each once.
SELECT json_group_array(json_array(job, concurrency_key)) FROM (
    SELECT DISTINCT job, concurrency_key FROM (VALUES
        (?)-- each
    ) AS wanted CROSS JOIN run ON run.id = wanted.column1
    WHERE concurrency_key IS NOT NULL
)
