SELECT state, count(*) FROM mainspring.run
WHERE run.id = ANY (ARRAY(
    SELECT id FROM mainspring.run WHERE state = 4 AND losses < 2 AND 4 = ANY ($1)
    UNION ALL
    SELECT id FROM mainspring.run WHERE state = 4 AND losses >= 2 AND 4 = ANY ($1)
    UNION ALL
    SELECT id FROM mainspring.run WHERE state = 0 AND concurrency_key IS NOT NULL AND 0 = ANY ($1)
    UNION ALL
    SELECT id FROM mainspring.run WHERE state = 0 AND rate_key IS NOT NULL AND concurrency_key IS NULL AND 0 = ANY ($1)
    UNION ALL
    SELECT id FROM mainspring.run WHERE state >= 1 AND state <= 3 AND state = ANY ($1)
    UNION ALL
    SELECT id FROM mainspring.run WHERE state = 5 AND 5 = ANY ($1)
)) AND ($1::smallint[] IS NULL OR state = ANY ($1))
-- part run_filter
GROUP BY state
