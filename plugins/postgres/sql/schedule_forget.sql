DELETE FROM mainspring.schedule_definition WHERE name = ANY ($1::text[])
