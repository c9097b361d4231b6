SELECT state, count(*) FROM mainspring.run
WHERE ($1::smallint[] IS NULL OR state = ANY ($1))
-- part run_filter
GROUP BY state
