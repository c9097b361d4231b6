-- Kernels that hold runs, and of which there is no row: they ended in order.
WITH RECURSIVE holder (kernel) AS (
    (SELECT kernel FROM mainspring.run WHERE state = 5 ORDER BY kernel LIMIT 1)
    UNION ALL
    SELECT next.kernel FROM holder CROSS JOIN LATERAL (
        SELECT run.kernel FROM mainspring.run WHERE run.state = 5 AND run.kernel > holder.kernel ORDER BY run.kernel LIMIT 1
    ) AS next
)
SELECT kernel FROM holder
WHERE kernel IS NOT NULL AND kernel <> $1 AND NOT EXISTS (SELECT 1 FROM mainspring.kernel WHERE kernel.id = holder.kernel)
