-- Slots that count no longer, and those that are later than now: (kind, name, key, instant, instant).
DELETE FROM rate WHERE (kind, name, key, ends) IN (
    SELECT rate.kind, rate.name, rate.key, rate.ends
    FROM (VALUES
        (?, ?, ?, ?, ?)-- each
    ) AS past CROSS JOIN rate
    ON rate.kind = past.column1 AND rate.name = past.column2 AND rate.key = past.column3
        AND (rate.ends <= past.column4 OR rate.ends > past.column5)
)
