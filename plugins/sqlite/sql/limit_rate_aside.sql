UPDATE run NOT INDEXED SET state = -1 WHERE seq IN (SELECT value FROM json_each(?)) AND state = 4
