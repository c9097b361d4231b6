INSERT INTO mainspring.charge (kernel, run, token, charged)
SELECT kernel, run, token, mainspring.clock() FROM unnest($1::text[], $2::uuid[], $3::int[]) AS given (kernel, run, token)
ON CONFLICT (kernel, run) DO UPDATE SET token = excluded.token, charged = excluded.charged
