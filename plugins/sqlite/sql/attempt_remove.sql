DELETE FROM attempt WHERE run IN (
    ?-- each
)
