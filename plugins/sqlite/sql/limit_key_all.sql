-- The keys of all that are held back for one.
SELECT DISTINCT job, concurrency_key FROM run INDEXED BY run_key WHERE concurrency_key IS NOT NULL AND state <= 5 AND state = 0
