-- Lines follow one another without overlap: the first that can touch the span is the last that begins before it.
SELECT schedule, first, last, count, result, reason, run FROM mainspring.tick
WHERE schedule = $1 AND last >= $2 AND first <= $3
    AND first >= coalesce((SELECT max(first) FROM mainspring.tick WHERE schedule = $1 AND first <= $2), $2)
ORDER BY first DESC LIMIT $4
