-- The next blocked run of each schedule goes, oldest tick first, when nothing but blocked ones is unfinished.
UPDATE mainspring.run SET state = CASE WHEN due <= $2 THEN 4 ELSE 1 END
WHERE id = ANY (ARRAY(
    SELECT first.id FROM unnest($1::text[]) AS wanted (name)
    CROSS JOIN LATERAL (
        SELECT run.id FROM mainspring.run
        WHERE run.schedule = wanted.name AND run.schedule IS NOT NULL AND run.state <= 5 AND run.state = 3
            AND NOT EXISTS (SELECT 1 FROM mainspring.edge WHERE edge.child = run.id AND edge.is_open)
        ORDER BY run.tick NULLS FIRST, run.id LIMIT 1
    ) AS first
    WHERE NOT EXISTS (
        SELECT 1 FROM mainspring.run
        WHERE run.schedule = wanted.name AND run.schedule IS NOT NULL AND run.state <= 5
            AND (run.state <= 2 OR run.state >= 4)
    )
)) AND state + 0 = 3
