-- Newcomers, whose seq is larger than this, behind enough others of their key and lane are held back at once.
UPDATE run NOT INDEXED SET state = -1
WHERE seq > ? AND state = 4 AND rate_key IS NOT NULL AND (
    EXISTS (
        SELECT 1 FROM run AS other INDEXED BY run_rate
        WHERE other.job = run.job AND other.rate_key = run.rate_key AND other.rate_key IS NOT NULL AND other.state <= 4
            AND other.state = -1 AND other.queue = run.queue AND (other.urgency, other.id) < (run.urgency, run.id)
    )
    OR ? <= (
        SELECT count(*) FROM (
            SELECT 1 FROM run AS other INDEXED BY run_rate
            WHERE other.job = run.job AND other.rate_key = run.rate_key AND other.rate_key IS NOT NULL AND other.state <= 4
                AND other.state = 4 AND other.queue = run.queue AND (other.urgency, other.id) < (run.urgency, run.id)
            LIMIT ?
        )
    )
)
