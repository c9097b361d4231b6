-- (now, as far as the database's clock admits it; when the next run expires; when the next is due;
-- when the first and when the last of the keys of rates for which runs are parked opens)
SELECT
    least($1::float8, mainspring.clock() + 1),
    (SELECT min(expires) FROM mainspring.run WHERE expires IS NOT NULL AND attempt = 0 AND state <= 4),
    least(
        (SELECT min(due) FROM mainspring.run WHERE state = 1),
        (SELECT min(due) FROM mainspring.run WHERE state = 2)
    ),
    (
        SELECT opens FROM mainspring.rate
        WHERE opens IS NOT NULL AND name || '' = ANY ($2::text[]) AND EXISTS (
            SELECT 1 FROM mainspring.run
            WHERE run.state = 0 AND run.rate_key IS NOT NULL AND run.job = rate.name AND run.rate_key = rate.key
        )
        ORDER BY opens LIMIT 1
    ),
    (SELECT max(opens) FROM mainspring.rate WHERE opens IS NOT NULL AND name || '' = ANY ($2::text[]))
