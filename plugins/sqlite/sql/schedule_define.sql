INSERT INTO schedule_definition (name, definition)
SELECT * FROM (VALUES
    (?, ?)-- each
) WHERE column1 IS NOT NULL
ON CONFLICT (name) DO UPDATE SET definition = excluded.definition WHERE definition <> excluded.definition
