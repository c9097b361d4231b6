INSERT OR REPLACE INTO kernel (id, pid, host, boot, started, seen, socket) VALUES (?, ?, ?, ?, ?, ?, ?)
