-- What says the same as before is as old as it was.
INSERT INTO mainspring.announced (kernel, job, plugin, queue, info, announced)
SELECT $1, job, plugin, queue, info, mainspring.clock()
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS given (job, plugin, queue, info)
ON CONFLICT (kernel, job) DO UPDATE SET
    plugin = excluded.plugin, queue = excluded.queue, info = excluded.info, announced = excluded.announced
WHERE (announced.plugin, announced.queue, announced.info) <> (excluded.plugin, excluded.queue, excluded.info)
