-- Whether anything waits for the limit of a key.
SELECT EXISTS (SELECT 1 FROM run INDEXED BY run_later WHERE state <= 3 AND state IN (-1, 0))
