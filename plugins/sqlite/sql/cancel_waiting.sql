UPDATE run NOT INDEXED SET state = 8, reason = ?, finished = ?
WHERE seq IN (SELECT value FROM json_each(?)) AND state <= 4
