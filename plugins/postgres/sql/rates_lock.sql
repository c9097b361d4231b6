-- (kind, name, key, ends, counts) of these limits, those that have been used.
SELECT rate.kind, rate.name, rate.key, rate.ends, rate.counts
FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (kind, name, key)
JOIN mainspring.rate ON rate.kind = wanted.kind AND rate.name = wanted.name AND rate.key = wanted.key
