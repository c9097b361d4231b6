INSERT OR REPLACE INTO plugin_value (plugin, key, value)
SELECT * FROM (VALUES
    (?, ?, ?)-- each
) WHERE column1 IS NOT NULL
