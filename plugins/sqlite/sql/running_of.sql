SELECT json_group_array(seq) FROM (
    SELECT seq FROM run INDEXED BY run_running WHERE state = 5 AND (?1 IS NULL OR kernel = ?1) ORDER BY seq
)
