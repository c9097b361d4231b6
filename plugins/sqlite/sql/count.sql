SELECT state, count(*) FROM run
WHERE (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
    AND (:job IS NULL OR job = :job)
    AND (:queue IS NULL OR queue = :queue)
    AND (:schedule IS NULL OR schedule = :schedule)
    AND (:tag IS NULL OR instr(',' || substr(run.tags, 2), :tag))
GROUP BY state
