DELETE FROM log_part INDEXED BY log_part_run WHERE run = ? AND part < ?
