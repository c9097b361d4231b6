-- Through the indexes that know the job, however long the history of others is.
SELECT json_group_array(seq) FROM (
    SELECT seq FROM run NOT INDEXED
    WHERE seq IN (
        SELECT seq FROM run INDEXED BY run_finished WHERE state >= 6 AND job = :job
        UNION ALL
        SELECT seq FROM run INDEXED BY run_lane WHERE state = 4 AND job = :job
        UNION ALL
        SELECT seq FROM run INDEXED BY run_later WHERE state <= 3 AND job = :job
        UNION ALL
        SELECT seq FROM run INDEXED BY run_running WHERE state = 5
    )
        AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
        AND job = :job
        -- part run_filter
        AND id >= :first AND id < coalesce(:before, x'')
    ORDER BY id DESC LIMIT :limit
)
