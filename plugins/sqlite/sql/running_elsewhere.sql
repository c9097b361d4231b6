-- What other kernels than these have claimed.
SELECT json_group_array(seq) FROM (
    SELECT seq FROM run INDEXED BY run_running
    WHERE state = 5 AND coalesce(kernel, '') NOT IN (SELECT value FROM json_each(?)) ORDER BY kernel, id
)
