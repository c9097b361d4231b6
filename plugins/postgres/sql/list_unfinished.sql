-- The same of unfinished runs: each state by its own index.
SELECT
    run.id::text, job, queue, priority, payload, state, enqueued, due, urgency, token, attempt, failures, kernel, started, finished,
    result, error, reason, notes, cancel_reason, stuck, losses, progress, progress_text, expires, unique_key, schedule, tick,
    folded, tags, concurrency_key, rate_key
FROM mainspring.run
WHERE run.id = ANY (ARRAY(
    SELECT id FROM mainspring.run WHERE state = 4 AND losses < 2 AND 4 = ANY ($1)
    UNION ALL
    SELECT id FROM mainspring.run WHERE state = 4 AND losses >= 2 AND 4 = ANY ($1)
    UNION ALL
    SELECT id FROM mainspring.run WHERE state = 0 AND concurrency_key IS NOT NULL AND 0 = ANY ($1)
    UNION ALL
    SELECT id FROM mainspring.run WHERE state = 0 AND rate_key IS NOT NULL AND concurrency_key IS NULL AND 0 = ANY ($1)
    UNION ALL
    SELECT id FROM mainspring.run WHERE state >= 1 AND state <= 3 AND state = ANY ($1)
    UNION ALL
    SELECT id FROM mainspring.run WHERE state = 5 AND 5 = ANY ($1)
)) AND ($1::smallint[] IS NULL OR state = ANY ($1))
-- part run_filter
ORDER BY run.id DESC LIMIT $11
