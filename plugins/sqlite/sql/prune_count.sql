SELECT json_group_array(seq) FROM (
    SELECT seq FROM run INDEXED BY run_finished
    WHERE state >= 6 AND job = ? ORDER BY finished DESC LIMIT ? OFFSET ?
)
