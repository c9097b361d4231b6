-- Where nothing of a schedule is unfinished but blocked runs, the one of the oldest tick goes.
UPDATE run NOT INDEXED SET state = iif(due > ?, 1, 4)
WHERE seq IN (
    SELECT (
        SELECT seq FROM run INDEXED BY run_schedule
        WHERE schedule = ended.column1 AND schedule IS NOT NULL AND state <= 5 AND state = 3
            AND NOT EXISTS (SELECT 1 FROM edge INDEXED BY edge_open WHERE is_open = 1 AND child = run.id)
        ORDER BY tick, id LIMIT 1
    )
    FROM (VALUES
        (?)-- each
    ) AS ended
    WHERE NOT EXISTS (
        SELECT 1 FROM run INDEXED BY run_schedule
        WHERE schedule = ended.column1 AND schedule IS NOT NULL AND state <= 5 AND state IN (-2, -1, 0, 1, 2, 4, 5)
    )
)
