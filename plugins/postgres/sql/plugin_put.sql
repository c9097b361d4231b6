INSERT INTO mainspring.plugin_value (plugin, key, value)
SELECT $1, key, value FROM unnest($2::text[], $3::text[]) AS given (key, value)
ON CONFLICT (plugin, key) DO UPDATE SET value = excluded.value
