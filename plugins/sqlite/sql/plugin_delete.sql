DELETE FROM plugin_value WHERE plugin = ?1 AND key IN (
    ?-- each
)
