UPDATE run NOT INDEXED SET state = iif(losses >= ?, -2, 4), stuck = 0
WHERE seq IN (SELECT value FROM json_each(?)) AND state = 5
