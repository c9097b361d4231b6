-- How many wait in the queue; counting ends when they are surely too many.
SELECT count(*) FROM (
    SELECT 1 FROM mainspring.run WHERE state = 4 AND losses < 2 AND queue = $1
    UNION ALL
    SELECT 1 FROM mainspring.run WHERE state = 4 AND losses >= 2 AND queue = $1
    UNION ALL
    SELECT 1 FROM mainspring.run WHERE state >= 1 AND state <= 3 AND queue = $1
    UNION ALL
    SELECT 1 FROM mainspring.run WHERE state = 0 AND concurrency_key IS NOT NULL AND queue = $1
    UNION ALL
    SELECT 1 FROM mainspring.run WHERE state = 0 AND rate_key IS NOT NULL AND concurrency_key IS NULL AND queue = $1
    LIMIT $2::bigint
) AS waiting
