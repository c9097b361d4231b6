-- The newest ledger line of each schedule.
SELECT tick.schedule, tick.first, tick.last, tick.count, tick.result, tick.reason, tick.run
FROM unnest($1::text[]) AS wanted (name) CROSS JOIN LATERAL (
    SELECT * FROM mainspring.tick WHERE tick.schedule = wanted.name ORDER BY tick.first DESC LIMIT 1
) AS tick
