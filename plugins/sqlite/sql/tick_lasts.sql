-- The newest ledger line of each schedule: [[schedule, first, last, count, result, reason, run], …].
SELECT json_group_array(json_array(
    tick.schedule, quote(tick.first), quote(tick.last), tick.count, tick.result, tick.reason, tick.run
))
FROM (VALUES
    (?)-- each
) AS wanted CROSS JOIN tick
ON tick.schedule = wanted.column1
    AND tick.first = (SELECT max(first) FROM tick WHERE tick.schedule = wanted.column1)
