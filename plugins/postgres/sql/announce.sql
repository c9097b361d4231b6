INSERT INTO mainspring.announced (job, plugin, queue, info, kernel, announced)
SELECT job, plugin, queue, info, $5, $6 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS given (job, plugin, queue, info)
ON CONFLICT (job) DO UPDATE SET
    plugin = excluded.plugin, queue = excluded.queue, info = excluded.info, kernel = excluded.kernel,
    announced = excluded.announced
