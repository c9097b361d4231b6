DELETE FROM plugin_value WHERE plugin = ? AND key IN (
    ?-- each
)
