SELECT state, count(*) FROM run INDEXED BY run_finished WHERE state >= 6 AND job = :job GROUP BY state
UNION ALL
SELECT 4, count(*) FROM run INDEXED BY run_lane WHERE state = 4 AND job = :job
UNION ALL
SELECT state, count(*) FROM run INDEXED BY run_later WHERE state <= 3 AND job = :job GROUP BY state
UNION ALL
SELECT 5, count(*) FROM run INDEXED BY run_running WHERE state = 5 AND job = :job
