SELECT 1 FROM edge INDEXED BY edge_open WHERE is_open = 1 LIMIT 1
