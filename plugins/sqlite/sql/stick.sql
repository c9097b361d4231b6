UPDATE run SET stuck = 1 WHERE state = 5 AND id IN (
    ?-- each
)
