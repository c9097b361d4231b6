SELECT json_group_array(seq) FROM run INDEXED BY run_expires
WHERE expires IS NOT NULL AND attempt = 0 AND state <= 4 AND expires <= ?
