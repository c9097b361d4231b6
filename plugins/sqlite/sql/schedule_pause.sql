UPDATE schedule SET paused = ? WHERE name = ?
