DELETE FROM schedule WHERE name IN (
    ?-- each
)
