SELECT json_group_array(seq) FROM (
    SELECT seq FROM run INDEXED BY run_running WHERE state = 5 AND kernel = ? ORDER BY seq
)
