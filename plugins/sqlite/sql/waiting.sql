SELECT
    (SELECT count(*) FROM run INDEXED BY run_lane WHERE state = 4 AND queue = :queue)
    + (SELECT count(*) FROM run INDEXED BY run_later WHERE state <= 3 AND queue = :queue)
