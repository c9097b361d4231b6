DELETE FROM kernel WHERE id IN (
    ?-- each
)
