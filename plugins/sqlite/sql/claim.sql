UPDATE run NOT INDEXED SET state = 5, token = token + 1, attempt = attempt + 1, kernel = ?, started = ?
WHERE seq IN (SELECT value FROM json_each(?))
