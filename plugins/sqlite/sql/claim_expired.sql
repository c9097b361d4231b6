SELECT json_group_array(seq) FROM run INDEXED BY run_expires
WHERE expires IS NOT NULL AND state <= 4 AND attempt = 0 AND expires <= ?
