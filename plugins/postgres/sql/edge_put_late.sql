-- As edge_put; of the open ones it is seen at the commit whether the parent has ended.
INSERT INTO mainspring.edge (child, parent, is_open, on_failure, is_late)
SELECT child, parent, is_open, on_failure, is_open
FROM unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::text[]) AS given (child, parent, is_open, on_failure)
ON CONFLICT DO NOTHING
