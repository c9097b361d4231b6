INSERT INTO mainspring.rate (kind, name, key, ends, counts, opens)
SELECT kind, name, key, ends::float8[], counts::int[], opens
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[])
    AS given (kind, name, key, ends, counts, opens)
ON CONFLICT (kind, name, key) DO UPDATE SET ends = excluded.ends, counts = excluded.counts, opens = coalesce(excluded.opens, rate.opens)
