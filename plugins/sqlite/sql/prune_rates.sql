DELETE FROM rate INDEXED BY rate_gone WHERE gone <= ?
