SELECT text, is_cut FROM log_part INDEXED BY log_part_run WHERE run = ? ORDER BY part
