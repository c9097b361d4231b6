UPDATE mainspring.schedule SET paused = $2 WHERE name = $1
