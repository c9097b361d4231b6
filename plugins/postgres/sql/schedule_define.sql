INSERT INTO mainspring.schedule_definition (name, definition)
SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (name) DO UPDATE SET definition = excluded.definition
