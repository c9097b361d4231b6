-- Runs of one job that are kept no longer: beyond the count, completed before $3, otherwise ended before $4.
SELECT id::text FROM (
    (
        SELECT id FROM mainspring.run WHERE state >= 6 AND job = $1 ORDER BY job DESC, finished DESC OFFSET $2 LIMIT $5
    )
    UNION
    (
        SELECT id FROM mainspring.run WHERE state >= 6 AND job = $1 AND finished < $3 AND state = 6
        ORDER BY job, finished LIMIT $5
    )
    UNION
    (
        SELECT id FROM mainspring.run WHERE state >= 6 AND job = $1 AND finished < $4 AND state > 6
        ORDER BY job, finished LIMIT $5
    )
) AS old
WHERE NOT EXISTS (SELECT 1 FROM mainspring.edge WHERE edge.parent = old.id AND edge.is_open)
LIMIT $5
