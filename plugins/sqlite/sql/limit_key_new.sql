-- Newcomers, whose seq is larger than this, behind enough others of their key and lane are held back at once.
-- Not those with a rate key, too: one that is held back for one key must not be what others of its other key wait behind.
UPDATE run NOT INDEXED SET state = 0
WHERE seq > ? AND state = 4 AND concurrency_key IS NOT NULL AND rate_key IS NULL AND (
    EXISTS (
        SELECT 1 FROM run AS other INDEXED BY run_key
        WHERE other.job = run.job AND other.concurrency_key = run.concurrency_key AND other.concurrency_key IS NOT NULL AND other.state <= 5
            AND other.state = 0 AND other.queue = run.queue AND (other.urgency, other.id) < (run.urgency, run.id)
    )
    OR ? <= (
        SELECT count(*) FROM (
            SELECT 1 FROM run AS other INDEXED BY run_key
            WHERE other.job = run.job AND other.concurrency_key = run.concurrency_key AND other.concurrency_key IS NOT NULL AND other.state <= 5
                AND other.state = 4 AND other.queue = run.queue AND (other.urgency, other.id) < (run.urgency, run.id)
            LIMIT ?
        )
    )
)
