-- The keys of all that are held back for one.
SELECT DISTINCT job, rate_key FROM run INDEXED BY run_rate WHERE rate_key IS NOT NULL AND state <= 4 AND state = -1
