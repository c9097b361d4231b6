DELETE FROM step WHERE run IN (
    ?-- each
)
