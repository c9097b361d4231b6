SELECT key, value FROM mainspring.plugin_value WHERE plugin = $1 AND ($2::text[] IS NULL OR key = ANY ($2)) ORDER BY key
