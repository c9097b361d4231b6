UPDATE mainspring.run SET state = CASE WHEN due <= $2 THEN 4 ELSE 1 END
WHERE id = ANY ($1::uuid[]) AND state + 0 = 3
    AND NOT EXISTS (SELECT 1 FROM mainspring.edge WHERE edge.child = run.id AND edge.is_open)
