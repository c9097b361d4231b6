-- (part, bytes), oldest first.
SELECT part, bytes FROM log_part INDEXED BY log_part_run WHERE run = ? ORDER BY part
