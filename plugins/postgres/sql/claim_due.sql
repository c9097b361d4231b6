-- What has become due is queued; the oldest first, should there be very many.
UPDATE mainspring.run SET state = 4 WHERE id = ANY (ARRAY(
    SELECT id FROM (
        SELECT id FROM mainspring.run WHERE state = 1 AND due <= $1 ORDER BY due LIMIT 10000
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS scheduled
    UNION ALL
    SELECT id FROM (
        SELECT id FROM mainspring.run WHERE state = 2 AND due <= $1 ORDER BY due LIMIT 10000
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS retrying
))
