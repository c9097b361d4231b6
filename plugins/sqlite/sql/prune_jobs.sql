WITH RECURSIVE found (job) AS (
    SELECT (SELECT min(job) FROM run INDEXED BY run_finished WHERE state >= 6)
    UNION ALL
    SELECT (SELECT min(job) FROM run INDEXED BY run_finished WHERE state >= 6 AND job > found.job)
    FROM found WHERE found.job IS NOT NULL
)
SELECT json_group_array(job) FROM found WHERE job IS NOT NULL
