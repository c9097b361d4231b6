-- A parent of this run that itself waits for it, over however many others.
WITH RECURSIVE waiting (id) AS (
    SELECT child FROM mainspring.edge WHERE parent = $1::uuid AND is_open
    UNION
    SELECT edge.child FROM waiting JOIN mainspring.edge ON edge.parent = waiting.id AND edge.is_open
)
SELECT parent::text FROM mainspring.edge WHERE child = $1::uuid AND parent IN (SELECT id FROM waiting) ORDER BY 1 LIMIT 1
