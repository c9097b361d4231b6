SELECT key, value FROM plugin_value WHERE plugin = ?1 AND (?2 IS NULL OR key = ?2) ORDER BY key
