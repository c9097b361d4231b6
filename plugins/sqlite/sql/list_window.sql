-- (how many runs the window has, which of them the filter lets through), newest first.
SELECT
    count(*),
    json_group_array(seq) FILTER (
        WHERE (?1 IS NULL OR state IN (SELECT value FROM json_each(?1)))
            AND (?2 IS NULL OR job = ?2)
            AND (?3 IS NULL OR queue = ?3)
            AND (?4 IS NULL OR schedule = ?4)
            AND (?5 IS NULL OR instr(',' || substr(tags, 2), ?5))
    )
FROM (
    SELECT seq, state, job, queue, schedule, tags FROM run INDEXED BY sqlite_autoindex_run_1
    WHERE id < coalesce(?6, x'')
    ORDER BY id DESC LIMIT ?7
)
