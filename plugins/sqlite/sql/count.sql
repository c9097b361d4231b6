SELECT state, count(*) FROM run
WHERE (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
        -- part run_filter
GROUP BY state
