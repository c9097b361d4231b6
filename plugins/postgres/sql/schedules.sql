SELECT name, definition, dynamic, anchor, looked_until, paused, version
FROM mainspring.schedule JOIN mainspring.schedule_definition USING (name) ORDER BY name
