-- For each (kind, name, key, instant): [how many runs began in slots that end after it, the end of the latest slot].
SELECT json_group_array(json_array(
    (
        SELECT coalesce(sum(count), 0) FROM rate
        WHERE kind = wanted.column1 AND name = wanted.column2 AND key = wanted.column3 AND ends > wanted.column4
    ),
    (SELECT max(ends) FROM rate WHERE kind = wanted.column1 AND name = wanted.column2 AND key = wanted.column3)
))
FROM (VALUES
    (?, ?, ?, ?)-- each
) AS wanted
WHERE wanted.column1 IS NOT NULL
