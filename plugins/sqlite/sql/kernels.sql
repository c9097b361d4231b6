SELECT id, pid, host, boot, started, seen, socket FROM kernel ORDER BY id
