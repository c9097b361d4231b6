-- Of the kernels that are alive; of all when none of them has announced anything.
WITH told AS (
    SELECT announced.*, coalesce(kernel.lease_until > mainspring.clock(), false) AS is_alive
    FROM mainspring.announced LEFT JOIN mainspring.kernel ON kernel.id = announced.kernel
)
SELECT DISTINCT ON (job) job, plugin, queue, info FROM told
WHERE is_alive OR NOT EXISTS (SELECT 1 FROM told WHERE is_alive)
ORDER BY job, announced DESC, kernel
