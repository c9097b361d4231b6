SELECT name, result FROM step WHERE run = ? ORDER BY rowid
