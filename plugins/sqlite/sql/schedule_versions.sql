-- [[name, version], …] of those that are there.
SELECT json_group_array(json_array(name, version)) FROM schedule WHERE name IN (
    ?-- each
)
