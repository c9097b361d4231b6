-- The jobs of which runs have ended.
WITH RECURSIVE found (job) AS (
    (SELECT job FROM mainspring.run WHERE state >= 6 ORDER BY job LIMIT 1)
    UNION ALL
    SELECT next.job FROM found CROSS JOIN LATERAL (
        SELECT run.job FROM mainspring.run WHERE run.state >= 6 AND run.job > found.job ORDER BY run.job LIMIT 1
    ) AS next
)
SELECT job FROM found
