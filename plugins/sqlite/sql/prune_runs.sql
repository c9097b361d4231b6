DELETE FROM run NOT INDEXED WHERE seq IN (SELECT value FROM json_each(?)) AND state >= 6
