-- What holds its unique key for some time yet stays: enqueue answers with it.
SELECT json_group_array(seq) FROM (
    SELECT seq FROM run INDEXED BY run_finished
    WHERE state >= 6 AND job = :job AND finished < :before AND state = 6
        AND (:spare = 0 OR unique_key IS NULL OR NOT EXISTS (
            SELECT 1 FROM period
            WHERE period.job = run.job AND period.key = run.unique_key AND period.run = run.id AND period.until > :now
        ))
    ORDER BY finished LIMIT :limit
)
