-- The first 48 bits of an id (its millisecond) before which every run was enqueued before :instant, bit by bit: ids are in
-- order of time. With :above 1 the bits from which on every run was enqueued at :instant or later.
WITH RECURSIVE search (low, bit) AS (
    SELECT 0, 1 << 47
    UNION ALL
    SELECT
        low + iif(coalesce((
            SELECT enqueued < :instant FROM run INDEXED BY sqlite_autoindex_run_1
            WHERE id >= printf('%08x-%04x', (low + bit) >> 16, (low + bit) & 65535) ORDER BY id LIMIT 1
        ), 0), bit, 0),
        bit >> 1
    FROM search WHERE bit > 0
)
SELECT printf('%08x-%04x', (low + :above) >> 16, (low + :above) & 65535) FROM search WHERE bit = 0
