-- The first 48 bits of an id (its millisecond) before which every run was enqueued before $1, bit by bit: ids are in order
-- of time. With $2 = 1 the bits from which on every run was enqueued at $1 or later.
WITH RECURSIVE search (low, bit) AS (
    SELECT 0::bigint, 1::bigint << 47
    UNION ALL
    SELECT
        low + CASE WHEN coalesce((
            SELECT run.enqueued < $1::float8 FROM mainspring.run
            WHERE run.id >= (lpad(to_hex(low + bit), 12, '0') || repeat('0', 20))::uuid ORDER BY run.id LIMIT 1
        ), false) THEN bit ELSE 0 END,
        bit >> 1
    FROM search WHERE bit > 0
)
SELECT (lpad(to_hex(low + $2::bigint), 12, '0') || repeat('0', 20))::uuid::text FROM search
WHERE bit = 0 AND low + $2::bigint < 1::bigint << 48
