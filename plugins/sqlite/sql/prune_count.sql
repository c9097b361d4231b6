SELECT json_group_array(seq) FROM (
    SELECT seq FROM run INDEXED BY run_finished
    WHERE state >= 6 AND job = ?1 ORDER BY finished DESC LIMIT ?3 OFFSET ?2
)
