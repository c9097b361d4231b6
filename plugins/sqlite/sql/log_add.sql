INSERT INTO log_part (run, bytes, is_cut, text) VALUES (?, ?, 0, ?)
