-- Through the indexes of what is unfinished, however long the history is.
SELECT json_group_array(seq) FROM (
    SELECT seq FROM run
    WHERE seq IN (
        SELECT seq FROM run INDEXED BY run_lane WHERE state = 4 AND (?3 IS NULL OR queue = ?3) AND (?2 IS NULL OR job = ?2)
            AND 4 IN (SELECT value FROM json_each(?1))
        UNION ALL
        SELECT seq FROM run INDEXED BY run_later WHERE state <= 3 AND state IN (SELECT value FROM json_each(?1))
        UNION ALL
        SELECT seq FROM run INDEXED BY run_running WHERE state = 5 AND 5 IN (SELECT value FROM json_each(?1))
    )
        AND (?2 IS NULL OR job = ?2)
        AND (?3 IS NULL OR queue = ?3)
        AND (?4 IS NULL OR schedule = ?4)
        AND (?5 IS NULL OR EXISTS (SELECT 1 FROM json_each(run.tags) WHERE value = ?5))
        AND id < coalesce(?6, x'')
    ORDER BY id DESC LIMIT ?7
)
