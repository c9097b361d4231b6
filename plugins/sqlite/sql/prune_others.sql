SELECT json_group_array(seq) FROM (
    SELECT seq FROM run INDEXED BY run_finished
    WHERE state >= 6 AND job = ? AND finished < ? AND state > 6 ORDER BY finished LIMIT ?
)
