UPDATE edge INDEXED BY sqlite_autoindex_edge_1 SET is_open = 0 WHERE is_open = 1 AND parent IN (
    ?-- each
)
