UPDATE run NOT INDEXED SET state = 9, finished = ?, reason = 'expired'
WHERE seq IN (SELECT value FROM json_each(?))
