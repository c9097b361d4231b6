-- Takes back what runs were charged with when this kernel was taken for dead, where they still wait for it.
WITH charges AS (
    DELETE FROM mainspring.charge WHERE kernel = $1 RETURNING run, token
)
UPDATE mainspring.run SET losses = losses - 1
FROM charges WHERE run.id = charges.run AND run.token = charges.token AND run.losses > 0 AND run.state + 0 <= 4
