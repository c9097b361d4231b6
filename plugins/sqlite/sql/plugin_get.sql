SELECT key, value FROM plugin_value WHERE plugin = :plugin AND (:key IS NULL OR key = :key) ORDER BY key
