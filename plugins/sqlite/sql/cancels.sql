SELECT id, token, cancel_reason FROM run INDEXED BY run_running
WHERE state = 5 AND kernel = ? AND cancel_reason IS NOT NULL
ORDER BY seq
