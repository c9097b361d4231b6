-- Without a look at a single row: by the indexes, and completed is what is in none but its own.
SELECT state, count(*) FROM run INDEXED BY run_later WHERE state <= 3 GROUP BY state
UNION ALL
SELECT 4, count(*) FROM run INDEXED BY run_lane WHERE state = 4
UNION ALL
SELECT 5, count(*) FROM run INDEXED BY run_running WHERE state = 5
UNION ALL
SELECT
    6,
    (SELECT count(*) FROM run INDEXED BY run_finished WHERE state >= 6)
    - (SELECT count(*) FROM run INDEXED BY run_ended_badly WHERE state >= 7)
UNION ALL
SELECT state, count(*) FROM run INDEXED BY run_ended_badly WHERE state >= 7 GROUP BY state
