DELETE FROM edge INDEXED BY edge_child WHERE child IN (
    ?-- each
)
