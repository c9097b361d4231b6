-- As unique_holders, and nothing is locked.
SELECT wanted.number::int, holder.id::text, holder.state, holder.queue
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (job, key, number)
CROSS JOIN LATERAL (
    SELECT id, state, queue FROM mainspring.run
    WHERE run.job = wanted.job AND run.unique_key = wanted.key AND run.unique_key IS NOT NULL AND run.state <= 5
) AS holder
