-- With what belongs to them. One that was retried meanwhile stays.
WITH gone AS (
    DELETE FROM mainspring.run WHERE id = ANY ($1::uuid[]) AND state + 0 >= 6 RETURNING id
),
steps AS (
    DELETE FROM mainspring.step WHERE run = ANY (ARRAY(SELECT id FROM gone))
),
attempts AS (
    DELETE FROM mainspring.attempt WHERE run = ANY (ARRAY(SELECT id FROM gone))
),
logs AS (
    DELETE FROM mainspring.run_log WHERE run = ANY (ARRAY(SELECT id FROM gone))
),
edges AS (
    DELETE FROM mainspring.edge WHERE child = ANY (ARRAY(SELECT id FROM gone))
)
SELECT count(*) FROM gone
