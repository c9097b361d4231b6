SELECT job, plugin, queue, info FROM announced ORDER BY job
