UPDATE run NOT INDEXED SET cancel_reason = ?
WHERE seq IN (SELECT value FROM json_each(?)) AND state = 5
