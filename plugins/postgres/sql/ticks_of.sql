-- As the statement ticks, for each of these schedules, and of all of them the newest.
SELECT line.* FROM unnest($1::text[]) AS wanted (name) CROSS JOIN LATERAL (
    SELECT schedule, first, last, count, result, reason, run FROM mainspring.tick
    WHERE schedule = wanted.name AND last >= $2 AND first <= $3
        AND first >= coalesce(
            (SELECT max(first) FROM mainspring.tick WHERE schedule = wanted.name AND first <= $2), $2
        )
    ORDER BY first DESC LIMIT $4
) AS line
ORDER BY line.first DESC, line.schedule COLLATE "C" LIMIT $4
