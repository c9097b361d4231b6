SELECT text, is_cut FROM log_part WHERE part = ?
