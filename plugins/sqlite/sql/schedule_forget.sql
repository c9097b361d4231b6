DELETE FROM schedule_definition WHERE name IN (
    ?-- each
)
