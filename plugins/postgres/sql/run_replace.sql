-- A waiting run takes what the newcomer brings; its recorded steps and its attempts go.
WITH steps AS (
    DELETE FROM mainspring.step WHERE run = $1::uuid
),
attempts AS (
    DELETE FROM mainspring.attempt WHERE run = $1::uuid
)
UPDATE mainspring.run SET
    payload = $2, queue = $3, priority = $4, state = $5, due = $6, urgency = $7, expires = $8, tags = $9::text::text[],
    concurrency_key = $10, rate_key = $11
WHERE id = $1::uuid
