INSERT INTO rate (kind, name, key, ends, count, gone)
SELECT * FROM (VALUES
    (?, ?, ?, ?, ?, ?)-- each
) WHERE column1 IS NOT NULL
ON CONFLICT (kind, name, key, ends) DO UPDATE SET
    count = count + excluded.count, gone = max(gone, excluded.gone)
