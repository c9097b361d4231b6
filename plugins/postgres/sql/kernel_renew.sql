-- The database's now, and whether there was a lease to renew.
WITH renewed AS (
    UPDATE mainspring.kernel SET lease_until = mainspring.clock() + $2::float8 WHERE id = $1 RETURNING 1
)
SELECT mainspring.clock(), EXISTS (SELECT 1 FROM renewed)
