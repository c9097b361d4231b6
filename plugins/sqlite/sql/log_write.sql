UPDATE log_part SET bytes = ?, is_cut = ?, text = ? WHERE part = ?
