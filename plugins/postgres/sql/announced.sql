SELECT job, plugin, queue, info FROM mainspring.announced ORDER BY job
