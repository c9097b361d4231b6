-- Kernels that have signed in and not out, each with how many runs it has claimed.
SELECT
    id, pid, host, boot, started, seen, socket,
    (SELECT count(*) FROM run INDEXED BY run_running WHERE run.state = 5 AND run.kernel = kernel.id)
FROM kernel ORDER BY started, id
