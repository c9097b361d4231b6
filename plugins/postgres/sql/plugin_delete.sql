DELETE FROM mainspring.plugin_value WHERE plugin = $1 AND key = ANY ($2::text[])
