UPDATE kernel SET seen = ? WHERE id = ?
