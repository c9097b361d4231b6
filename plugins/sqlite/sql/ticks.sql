-- Lines follow one another without overlap: the first that can touch the span is the last that begins before it.
SELECT schedule, first, last, count, result, reason, run FROM tick
WHERE schedule = :schedule AND last >= :since AND first <= :until
    AND first >= coalesce((SELECT max(first) FROM tick WHERE schedule = :schedule AND first <= :since), :since)
ORDER BY first DESC LIMIT :limit
