DELETE FROM queue WHERE name = ?
