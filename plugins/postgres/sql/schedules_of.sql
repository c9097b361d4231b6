SELECT name, definition, dynamic, anchor, looked_until, paused, version
FROM mainspring.schedule JOIN mainspring.schedule_definition USING (name) WHERE name = ANY ($1::text[]) ORDER BY name
