-- (how many runs the window has, which of them the filter lets through), newest first.
SELECT
    count(*),
    json_group_array(seq) FILTER (
        WHERE (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
            AND (:job IS NULL OR job = :job)
            AND (:queue IS NULL OR queue = :queue)
            AND (:schedule IS NULL OR schedule = :schedule)
            AND (:tag IS NULL OR instr(',' || substr(tags, 2), :tag))
    )
FROM (
    SELECT seq, state, job, queue, schedule, tags FROM run INDEXED BY sqlite_autoindex_run_1
    WHERE id < coalesce(:before, x'')
    ORDER BY id DESC LIMIT :limit
)
