-- Who holds these (job, key) for a period, whether or not that run has ended: (number, id, until).
SELECT wanted.number::int, unique_period.run::text, unique_period.until
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (job, key, number)
JOIN mainspring.unique_period ON unique_period.job = wanted.job AND unique_period.key = wanted.key
