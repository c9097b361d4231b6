-- How many runs of each (job, key) are running: (number, count).
SELECT wanted.number::int, (
    SELECT count(*) FROM mainspring.run
    WHERE run.state = 5 AND run.concurrency_key IS NOT NULL AND run.job = wanted.job AND run.concurrency_key = wanted.key
)
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (job, key, number)
