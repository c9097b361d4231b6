-- Waiting runs take what a newcomer of their unique key brings.
UPDATE run NOT INDEXED SET
    payload = change.column2,
    queue = change.column3,
    priority = change.column4,
    state = iif(change.column5 = 4 AND losses >= ?, -2, change.column5),
    due = change.column6,
    urgency = change.column7,
    expires = change.column8,
    tags = change.column9,
    concurrency_key = change.column10,
    rate_key = change.column11
FROM (VALUES
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)-- each
) AS change
WHERE run.seq = change.column1 AND run.state <= 4
