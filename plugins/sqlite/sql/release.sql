-- A run that somebody wanted cancelled ends instead of being queued again.
UPDATE run SET
    state = iif(cancel_reason IS NULL, 4, 8),
    finished = iif(cancel_reason IS NULL, NULL, ?),
    reason = cancel_reason,
    kernel = NULL,
    stuck = 0
WHERE seq IN (SELECT value FROM json_each(?)) AND state = 5
