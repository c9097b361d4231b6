-- (how many runs the window has, which of them the filter lets through), newest first.
SELECT
    count(*),
    json_group_array(seq) FILTER (
        WHERE (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
        -- part run_filter
    )
FROM (
    SELECT seq, state, job, queue, schedule, tags, enqueued, reason, error FROM run INDEXED BY sqlite_autoindex_run_1
    WHERE id >= :first AND id < coalesce(:before, x'')
    ORDER BY id DESC LIMIT :limit
)
