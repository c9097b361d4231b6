UPDATE run NOT INDEXED SET state = iif(due > ?, 1, 4)
WHERE seq IN (SELECT value FROM json_each(?)) AND state = 3
