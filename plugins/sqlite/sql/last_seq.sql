SELECT coalesce(max(seq), 0) FROM run NOT INDEXED
