-- Through the indexes that know the job, however long the history of others is.
SELECT json_group_array(seq) FROM (
    SELECT seq FROM run NOT INDEXED
    WHERE seq IN (
        SELECT seq FROM run INDEXED BY run_finished WHERE state >= 6 AND job = ?2
        UNION ALL
        SELECT seq FROM run INDEXED BY run_lane WHERE state = 4 AND job = ?2
        UNION ALL
        SELECT seq FROM run INDEXED BY run_later WHERE state <= 3
        UNION ALL
        SELECT seq FROM run INDEXED BY run_running WHERE state = 5
    )
        AND (?1 IS NULL OR state IN (SELECT value FROM json_each(?1)))
        AND job = ?2
        AND (?3 IS NULL OR queue = ?3)
        AND (?4 IS NULL OR schedule = ?4)
        AND (?5 IS NULL OR instr(',' || substr(run.tags, 2), ?5))
        AND id < coalesce(?6, x'')
    ORDER BY id DESC LIMIT ?7
)
