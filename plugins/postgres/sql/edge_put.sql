INSERT INTO mainspring.edge (child, parent, is_open, on_failure)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::text[])
ON CONFLICT DO NOTHING
