-- Through the indexes of what is unfinished, however long the history is.
WITH wanted (state) AS MATERIALIZED (SELECT value FROM json_each(:states))
SELECT json_group_array(seq) FROM (
    SELECT seq FROM run NOT INDEXED
    WHERE seq IN (
        SELECT seq FROM wanted CROSS JOIN run INDEXED BY run_lane
        WHERE wanted.state = 4 AND run.state = 4 AND (:queue IS NULL OR queue = :queue) AND (:job IS NULL OR job = :job)
        UNION ALL
        SELECT seq FROM wanted CROSS JOIN run INDEXED BY run_later
        WHERE wanted.state <= 3 AND run.state <= 3 AND run.state = wanted.state
            AND (:queue IS NULL OR queue = :queue) AND (:job IS NULL OR job = :job)
        UNION ALL
        SELECT seq FROM wanted CROSS JOIN run INDEXED BY run_running WHERE wanted.state = 5 AND run.state = 5
    )
        -- part run_filter
        AND id >= :first AND id < coalesce(:before, x'')
    ORDER BY id DESC LIMIT :limit
)
