UPDATE signal SET count = count + 1 WHERE name = ?
