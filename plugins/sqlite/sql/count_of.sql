SELECT state, count(*) FROM json_each(:seqs) AS wanted CROSS JOIN run ON run.seq = wanted.value
WHERE (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
        -- part run_filter
GROUP BY state
