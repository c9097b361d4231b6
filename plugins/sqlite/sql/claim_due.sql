UPDATE run INDEXED BY run_later SET state = iif(losses >= ?, -2, 4)
WHERE state <= 3 AND state IN (1, 2) AND due <= ?
