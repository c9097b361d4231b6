SELECT state, count(*) FROM mainspring.run
WHERE state >= 7 AND state = ANY ($1::smallint[])
-- part run_filter
GROUP BY state
