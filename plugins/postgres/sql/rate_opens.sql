-- When to look again at these keys; never, when nothing is parked for them.
UPDATE mainspring.rate SET opens = CASE WHEN EXISTS (
    SELECT 1 FROM mainspring.run
    WHERE run.state = 0 AND run.rate_key IS NOT NULL AND run.job = rate.name AND run.rate_key = rate.key
) THEN given.opens END
FROM unnest($1::text[], $2::text[], $3::float8[]) AS given (name, key, opens)
WHERE rate.kind = 'key' AND rate.name = given.name AND rate.key = given.key
