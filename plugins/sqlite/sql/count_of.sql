SELECT state, count(*) FROM json_each(?6) AS wanted CROSS JOIN run ON run.seq = wanted.value
WHERE (?1 IS NULL OR state IN (SELECT value FROM json_each(?1)))
    AND (?2 IS NULL OR job = ?2)
    AND (?3 IS NULL OR queue = ?3)
    AND (?4 IS NULL OR schedule = ?4)
    AND (?5 IS NULL OR instr(',' || substr(run.tags, 2), ?5))
GROUP BY state
