-- Only what is past the count is looked at, however much of it holds its unique key.
SELECT json_group_array(seq) FROM (
    SELECT run.seq FROM (
        SELECT seq FROM run INDEXED BY run_finished
        WHERE state >= 6 AND job = :job ORDER BY finished DESC LIMIT -1 OFFSET :count
    ) AS past CROSS JOIN run ON run.seq = past.seq
    WHERE true AND (:spare = 0 OR unique_key IS NULL OR NOT EXISTS (
            SELECT 1 FROM period
            WHERE period.job = run.job AND period.key = run.unique_key AND period.run = run.id AND period.until > :now
        ))
    LIMIT :limit
)
