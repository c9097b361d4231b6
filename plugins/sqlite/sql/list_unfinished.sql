-- Through the indexes of what is unfinished, however long the history is.
WITH wanted (state) AS MATERIALIZED (SELECT value FROM json_each(?1))
SELECT json_group_array(seq) FROM (
    SELECT seq FROM run NOT INDEXED
    WHERE seq IN (
        SELECT seq FROM wanted CROSS JOIN run INDEXED BY run_lane
        WHERE wanted.state = 4 AND run.state = 4 AND (?3 IS NULL OR queue = ?3) AND (?2 IS NULL OR job = ?2)
        UNION ALL
        SELECT seq FROM wanted CROSS JOIN run INDEXED BY run_later
        WHERE wanted.state <= 3 AND run.state <= 3 AND run.state = wanted.state
        UNION ALL
        SELECT seq FROM wanted CROSS JOIN run INDEXED BY run_running WHERE wanted.state = 5 AND run.state = 5
    )
        AND (?2 IS NULL OR job = ?2)
        AND (?3 IS NULL OR queue = ?3)
        AND (?4 IS NULL OR schedule = ?4)
        AND (?5 IS NULL OR instr(',' || substr(run.tags, 2), ?5))
        AND id < coalesce(?6, x'')
    ORDER BY id DESC LIMIT ?7
)
